"""Files: whole ones written atomically, read in places and checked."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lnx import spec
from lnx.atomic import PathLike, atomic_path
from lnx.container import load_source
from lnx.content import Alias, Container, Tensor
from lnx.errors import LimitError, LnxError, located, printable
from lnx.frame import Frame
from lnx.opening import Opened, open_source, read_head
from lnx.reading import read_tensors
from lnx.rebuild import AnyArray
from lnx.records import AliasRecord
from lnx.source import Stream
from lnx.workers import Coder
from lnx.writing import write


def save(container: Container, path: PathLike, *, jobs: int = 1) -> int:
    """Write a file atomically and return its length in bytes.

    A writer that is killed leaves what was there before. With jobs above 1, that many
    processes code large tensors; the bytes are the same. Raises ContentError, OSError.
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
    """Decode a file to numpy arrays, all of them or those of some names.

    With names, the other tensors are neither read nor decoded, and of the hashes those
    of the header and of the chunks at hand are checked. Tied names share one array;
    bfloat16 and float8 tensors come as integer views. Raises what `load` does, and
    LnxError for a name that is not in the file.
    """
    found: dict[str, AnyArray] = {}

    def keep(tensor: Tensor, array: AnyArray | None) -> None:
        if array is not None:
            found[tensor.name] = array
        elif isinstance(tensor, Alias):
            found[tensor.name] = found[tensor.target]

    wanted = None if names is None else list(names)
    each_tensor(path, keep, names=wanted, max_size=max_size, jobs=jobs)
    if wanted is None:
        return found
    return {name: array for name, array in found.items() if name in set(wanted)}


def each_tensor(
    path: PathLike,
    take: Callable[[Tensor, AnyArray | None], None],
    *,
    names: Iterable[str] | None = None,
    max_size: int = spec.DEFAULT_MAX_SIZE,
    jobs: int = 1,
) -> Opened:
    """Call take with each tensor and its array as they are decoded, in file order.

    An alias has no array, and comes after its target. What was taken can be trusted
    when this returns: the hashes of all contents are compared last. Returns what was
    opened, and raises as `arrays` does.
    """
    with _opened(path) as source:
        wanted = None if names is None else _with_targets(path, source, names)
        opened = open_source(source, max_size=max_size, whole=wanted is None)
        try:
            with Coder(jobs) as coder:
                for tensor, array in read_tensors(opened, coder, wanted):
                    take(tensor, array)
        except MemoryError as error:
            raise LimitError("the file needs more memory than there is") from error
        return opened


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
