"""Files: whole ones written atomically, whole ones read and checked."""

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lnx import spec
from lnx.container import dumps, loads
from lnx.content import Container
from lnx.errors import LnxError, located, printable
from lnx.frame import PREFIX, check_budget, check_length, read_frame
from lnx.rebuild import AnyArray, rebuild

PathLike = str | os.PathLike[str]


def save(container: Container, path: PathLike) -> int:
    """Write a file atomically and return its length in bytes.

    A writer that is killed leaves what was there before. Raises OSError.
    """
    data = dumps(container)
    write_atomic(data, path)
    return len(data)


def load(path: PathLike, *, max_size: int = spec.DEFAULT_MAX_SIZE) -> Container:
    """Read a file and check every hash; raises what `loads` does, and OSError."""
    length, head = read_head(path)
    with located(printable(os.fspath(path))):
        frame = read_frame(head)
        check_length(frame, length)
        check_budget(frame.header, max_size)
        return loads(read_bytes(path), max_size=max_size)


def arrays(
    path: PathLike,
    names: Iterable[str] | None = None,
    *,
    max_size: int = spec.DEFAULT_MAX_SIZE,
) -> dict[str, AnyArray]:
    """Decode a file to numpy arrays, all of them or those of some names.

    bfloat16 and float8 tensors come as integer views. Raises what `load` does, and
    LnxError for a name that is not in the file.
    """
    container = load(path, max_size=max_size)
    known = {tensor.name for tensor in container.tensors}
    wanted = list(known if names is None else names)
    for name in wanted:
        if name not in known:
            raise LnxError(f"{os.fspath(path)!r} has no tensor {name!r}")
    chosen = set(wanted)
    made: dict[str, AnyArray] = {}  # tied names share one array
    found = {}
    for tensor in container.tensors:
        if tensor.name in chosen:
            held = container.resolve(tensor.name)
            if held.name not in made:
                made[held.name] = rebuild(held, container)
            found[tensor.name] = made[held.name]
    return found


def read_bytes(path: PathLike) -> bytes:
    """Read a regular file; raises OSError, also for a folder, a pipe or a device."""
    path = Path(path)
    if not stat.S_ISREG(path.stat().st_mode):
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise OSError(f"{str(path)!r} is {kind}")
    return path.read_bytes()


def read_head(path: PathLike) -> tuple[int, bytes]:
    """Read a file's length, prefix and header; raises OSError as `read_bytes`."""
    path = Path(path)
    if not path.is_file():
        return 0, read_bytes(path)
    with path.open("rb") as file:
        head = file.read(spec.PREFIX_BYTES)
        if len(head) == spec.PREFIX_BYTES and head.startswith(spec.MAGIC):
            stored = PREFIX.unpack_from(head)[6]
            head += file.read(min(stored, spec.MAX_HEADER_BYTES))
        return os.fstat(file.fileno()).st_size, head


def write_atomic(data: bytes, path: PathLike) -> None:
    """Write beside the target, flush to the disk, rename; raises OSError."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Give a path beside the target to write to, which then takes its place.

    A link is followed. Raises OSError, also for a target that is no regular file.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_file():
        raise OSError(f"{str(path)!r} is not a regular file")
    handle, name = tempfile.mkstemp(prefix=".lnx-", dir=path.parent)
    temporary = Path(name)
    try:
        yield temporary
        os.fsync(handle)
        temporary.chmod(_mode(path))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    _sync_folder(path.parent)


def _mode(path: Path) -> int:
    """Keep the mode of a file that is replaced; a new one gets the usual mode."""
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable where the system knows how."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
