"""The face of lnx: containers to bytes and files, and back; every hash checked."""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from lnx import spec
from lnx.binary.atomic import PathLike, atomic_path
from lnx.binary.source import Memory, Source, open_file
from lnx.coding.parallel import Coder
from lnx.errors import LimitError, LnxError, printable
from lnx.parts.prefix import Frame, read_head
from lnx.parts.records import AliasRecord
from lnx.read.decode import read_tensors
from lnx.read.opening import open_source
from lnx.tensors.container import Container
from lnx.tensors.reconstruct import AnyArray, Decoded, decoded
from lnx.write.encode import write


def dumps(container: Container, *, jobs: int = 1) -> bytes:
    """Return the bytes of a file; raises ContentError for what it cannot store."""
    file = io.BytesIO()
    with Coder(jobs) as coder:
        write(container, file, coder)
    return file.getvalue()


def loads(
    data: bytes, *, max_size: int = spec.DEFAULT_MAX_SIZE, jobs: int = 1
) -> Container:
    """Return the container of a file, every hash checked.

    Raises FormatError for bytes that are not a legal file, CorruptError where a hash
    differs, VersionError where another reader is needed, LimitError where the tensors
    would take more than max_size bytes, tied ones counted once.
    """
    return _load_source(Memory(bytes(data)), max_size=max_size, jobs=jobs)


def save(
    container: Container,
    path: PathLike,
    *,
    jobs: int = 1,
    replace: bool = True,
    progress: Callable[[int, int], object] | None = None,
) -> int:
    """Write a file atomically and return its length in bytes.

    A writer that is killed leaves what was there before. With replace=False an existing
    file is kept, and FileExistsError is raised. With jobs above 1, that many processes
    code large tensors, to the same bytes; they import the main module, which has to
    start its work under `if __name__ == "__main__"`. `progress` is told, now and then,
    how many chunks are coded, and of how many. Raises ContentError, OSError, and
    LnxError where a process was killed.
    """
    with (
        atomic_path(path, replace=replace) as temporary,
        temporary.open("wb") as file,
    ):
        with Coder(jobs) as coder:
            written = write(container, file, coder, str(temporary.parent), progress)
        file.flush()
    return written


def load(
    path: PathLike, *, max_size: int = spec.DEFAULT_MAX_SIZE, jobs: int = 1
) -> Container:
    """Read a file and check every hash; raises what `loads` does, and OSError."""
    with open_file(path) as source:
        return _load_source(source, max_size=max_size, jobs=jobs)


def arrays(
    path: PathLike,
    names: Iterable[str] | None = None,
    *,
    max_size: int = spec.DEFAULT_MAX_SIZE,
    jobs: int = 1,
) -> dict[str, AnyArray]:
    """Decode a file to numpy arrays by name; as `decode`, less the types.

    BF16 and float8, which numpy lacks, come as unsigned integers of the same bits.
    """
    found = decode(path, names, max_size=max_size, jobs=jobs)
    return {tensor.name: tensor.array for tensor in found}


def decode(
    path: PathLike,
    names: Iterable[str] | None = None,
    *,
    max_size: int = spec.DEFAULT_MAX_SIZE,
    copies: bool = False,
    jobs: int = 1,
) -> list[Decoded]:
    """Decode a file, all of it or the tensors of some names, in file order.

    With names, of the other tensors only the scales are read, and only the hashes of
    the header and of the chunks that are read are checked. Tied names share one array,
    which counts once against max_size; with copies it counts once for each name, for a
    caller who then copies it. Raises what `load` does, and LnxError for a name that is
    not in the file.
    """
    if isinstance(names, str):
        names = [names]
    with open_file(path) as source:
        wanted = None if names is None else list(names)
        frame = read_head(source)
        needed = None if wanted is None else _with_targets(frame, wanted)
        opened = open_source(
            source, max_size=max_size, names=needed, copies=copies, frame=frame
        )
        with _coder(jobs) as coder:
            found = list(decoded(read_tensors(opened, coder, needed)))
    chosen = {t.name for t in found} if wanted is None else set(wanted)
    return [tensor for tensor in found if tensor.name in chosen]


def verify(
    path: PathLike, *, max_size: int = spec.DEFAULT_MAX_SIZE, jobs: int = 1
) -> int:
    """Check every hash and decode every tensor of a file, one at a time.

    Returns the number of tensors; raises what `load` does.
    """
    with open_file(path) as source:
        opened = open_source(source, max_size=max_size)
        with _coder(jobs) as coder:
            return sum(1 for _ in read_tensors(opened, coder))


def _load_source(source: Source, *, max_size: int, jobs: int) -> Container:
    """Return the container of a file in memory or on disk, as `loads` does."""
    opened = open_source(source, max_size=max_size)
    try:
        with Coder(jobs) as coder:
            tensors = tuple(tensor for tensor, _ in read_tensors(opened, coder))
    except MemoryError as error:
        raise LimitError("not enough memory for the file") from error
    header = opened.header
    return Container(
        tensors,
        opened.decoders,
        header.architecture,
        header.training,
        header.metadata,
    )


@contextmanager
def _coder(jobs: int) -> Iterator[Coder]:
    try:
        with Coder(jobs) as coder:
            yield coder
    except MemoryError as error:
        raise LimitError("not enough memory for the file") from error


def _with_targets(frame: Frame, names: Iterable[str]) -> set[str]:
    """Return names and the names they are tied to; raises LnxError for others."""
    records = frame.header.records
    known = {record.name: record for record in records}
    wanted = set()
    for name in names:
        if name not in known:
            raise LnxError(f"the file has no tensor {printable(name)}")
        record = known[name]
        wanted.add(name)
        if isinstance(record, AliasRecord):
            wanted.add(records[record.target].name)
    return wanted
