"""Files: whole ones written atomically, read in places and checked."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from lnx import spec
from lnx.atomic import PathLike, atomic_path
from lnx.container import load_source
from lnx.content import Container
from lnx.errors import LimitError, LnxError
from lnx.frame import Frame
from lnx.opening import open_source, read_head
from lnx.reading import read_tensors
from lnx.reconstruction import AnyArray, Decoded, decoded
from lnx.records import AliasRecord
from lnx.source import open_file
from lnx.workers import Coder
from lnx.writing import write


def save(container: Container, path: PathLike, *, jobs: int = 1) -> int:
    """Write a file atomically and return its length in bytes.

    A writer that is killed leaves what was there before. With jobs above 1, that many
    processes code large tensors, to the same bytes; they import the main module, which
    has to start its work under `if __name__ == "__main__"`. Raises ContentError,
    OSError, and LnxError where a process was killed.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        with Coder(jobs) as coder:
            written = write(container, file, coder, str(temporary.parent))
        file.flush()
    return written


def load(
    path: PathLike, *, max_size: int = spec.DEFAULT_MAX_SIZE, jobs: int = 1
) -> Container:
    """Read a file and check every hash; raises what `loads` does, and OSError."""
    with open_file(path) as source:
        return load_source(source, max_size=max_size, jobs=jobs)


def arrays(
    path: PathLike,
    names: Iterable[str] | None = None,
    *,
    max_size: int = spec.DEFAULT_MAX_SIZE,
    jobs: int = 1,
) -> dict[str, AnyArray]:
    """Decode a file to numpy arrays by name; as `decode`, less the types."""
    found = decode(path, names, max_size=max_size, jobs=jobs)
    return {tensor.name: tensor.array for tensor in found}


def decode(
    path: PathLike,
    names: Iterable[str] | None = None,
    *,
    max_size: int = spec.DEFAULT_MAX_SIZE,
    jobs: int = 1,
) -> list[Decoded]:
    """Decode a file, all of it or the tensors of some names, in file order.

    With names, the other tensors are neither read nor decoded, and of the hashes those
    of the header and of the chunks at hand are checked. Tied names share one array.
    Raises what `load` does, and LnxError for a name that is not in the file.
    """
    with open_file(path) as source:
        wanted = None if names is None else list(names)
        frame = read_head(source)
        needed = None if wanted is None else _with_targets(path, frame, wanted)
        opened = open_source(
            source, max_size=max_size, whole=needed is None, frame=frame
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


@contextmanager
def _coder(jobs: int) -> Iterator[Coder]:
    try:
        with Coder(jobs) as coder:
            yield coder
    except MemoryError as error:
        raise LimitError("the file needs more memory than there is") from error


def _with_targets(path: PathLike, frame: Frame, names: Iterable[str]) -> set[str]:
    """Return names and those that they are tied to; raises LnxError for others."""
    records = frame.header.records
    known = {record.name: record for record in records}
    wanted = set()
    for name in names:
        if name not in known:
            raise LnxError(f"{os.fspath(path)!r} has no tensor {name!r}")
        record = known[name]
        wanted.add(name)
        if isinstance(record, AliasRecord):
            wanted.add(records[record.target].name)
    return wanted
