"""Files that are written beside their target, and take its place when complete."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PathLike = str | os.PathLike[str]


def write_atomic(data: bytes, path: PathLike, *, replace: bool = True) -> None:
    """Write beside the target, flush to the disk, rename; raises OSError.

    With replace=False an existing file is kept, and FileExistsError is raised.
    """
    with atomic_path(path, replace=replace) as temporary:
        temporary.write_bytes(data)


@contextmanager
def atomic_path(path: PathLike, *, replace: bool = True) -> Iterator[Path]:
    """Give a path beside the target to write to, which then takes its place.

    A link is followed. Raises OSError, which names the target, also for a target that
    is not a regular file. With replace=False an existing file is kept, and
    FileExistsError is raised, even if another process wrote that file a moment ago.
    """
    import secrets  # readers do without

    target, path = os.fspath(path), Path(path).resolve()
    if path.exists() and not path.is_file():
        raise OSError(f"{str(path)!r} is not a regular file")
    # Named before it is made, so that an interrupt in between leaves nothing.
    temporary, handle = path.with_name(f".lnx-{secrets.token_hex(8)}"), None
    try:
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        yield temporary
        os.fsync(handle)
        temporary.chmod(_mode(path))
        if replace:
            temporary.replace(path)
        else:
            _move_to_new(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # it may never have been made
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename = target  # a full disk names none, or the temporary one
        raise
    finally:
        if handle is not None:
            os.close(handle)
    _sync_folder(path.parent)


def _move_to_new(temporary: Path, path: Path) -> None:
    """Rename, unless a file of that name exists: one of two writers must fail."""
    try:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            raise
        except (OSError, NotImplementedError):  # no links on this file system
            path.open("xb").close()
            temporary.replace(path)
        else:
            temporary.unlink()
    except FileExistsError as error:
        reason = os.strerror(errno.EEXIST)
        raise FileExistsError(errno.EEXIST, reason, str(path)) from error


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
