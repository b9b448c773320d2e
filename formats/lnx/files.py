"""Files: whole ones written atomically, read in places and checked."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lnx import spec
from lnx.atomic import PathLike, atomic_path
from lnx.container import load_source
from lnx.content import Container
from lnx.errors import LimitError, LnxError, located, printable
from lnx.frame import Frame
from lnx.opening import open_source, read_head
from lnx.reading import read_tensors
from lnx.rebuild import AnyArray, Decoded, decoded
from lnx.records import AliasRecord
from lnx.source import Stream
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
    with _opened(path) as source:
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
    with _opened(path) as source:
        wanted = None if names is None else list(names)
        needed = None if wanted is None else _with_targets(path, source, wanted)
        opened = open_source(source, max_size=max_size, whole=needed is None)
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
    with _opened(path) as source:
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


def frame_of(path: PathLike) -> Frame:
    """Read and check a file's prefix and header alone; raises as `load` does."""
    with _opened(path) as source:
        return read_head(source)


def _with_targets(path: PathLike, source: Stream, names: Iterable[str]) -> set[str]:
    """Return names and those that they are tied to; raises LnxError for others."""
    records = read_head(source).header.records
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


@contextmanager
def _opened(path: PathLike) -> Iterator[Stream]:
    """Open a regular file; raises OSError, also for a folder, a pipe or a device."""
    path = Path(path)
    if not stat.S_ISREG(path.stat().st_mode):
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise OSError(f"{str(path)!r} is {kind}")
    with path.open("rb") as file, located(printable(os.fspath(path))):
        yield Stream(file, os.fstat(file.fileno()).st_size)
