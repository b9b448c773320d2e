"""Where the bytes of a file come from: memory, or a file that is read in parts."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from lnx.binary.atomic import PathLike
from lnx.errors import CorruptError, located, printable

BLOCK_BYTES = 1 << 20


class Source(Protocol):
    """Bytes that can be read anywhere."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from start to stop; raises CorruptError past the end."""


class Memory:
    """A file that is in memory as a whole."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self._data)

    def read(self, start: int, stop: int) -> bytes:
        """Return some bytes; raises CorruptError past the end."""
        return _whole(self._data[start:stop], start, stop)


class Stream:
    """An open file, of which only what is asked for comes into memory.

    It is read, not mapped: if another process cuts the file short in the meantime, that
    is an error, where a mapped file would end this process.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    @property
    def size(self) -> int:
        """Number of bytes when the file was opened."""
        return self._size

    def read(self, start: int, stop: int) -> bytes:
        """Return some bytes; raises CorruptError past the end, and OSError."""
        self._file.seek(start)
        return _whole(self._file.read(stop - start), start, stop)


def blocks(source: Source, stop: int) -> Iterator[bytes]:
    """Yield the bytes up to stop, a block at a time."""
    for start in range(0, stop, BLOCK_BYTES):
        yield source.read(start, min(start + BLOCK_BYTES, stop))


def _whole(data: bytes, start: int, stop: int) -> bytes:
    if len(data) != stop - start:
        raise CorruptError.at(f"file is cut short at byte {start + len(data)}", start)
    return data


@contextmanager
def open_file(path: PathLike) -> Iterator[Stream]:
    """Open a regular file; raises OSError, also for a folder, a pipe or a device."""
    path = Path(path)
    if not stat.S_ISREG(path.stat().st_mode):
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise OSError(f"{str(path)!r} is {kind}")
    with path.open("rb") as file, located(printable(os.fspath(path))):
        yield Stream(file, os.fstat(file.fileno()).st_size)
