"""IDX files, the form of MNIST and its relatives, gzipped or not."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lilnetx_cli.errors import InputError, reason_of

UNSIGNED_BYTE = 8
MAX_DIMENSIONS = 4


def find_idx(folder: Path, stem: str) -> Path | None:
    """Return the file of a stem such as train-images-idx3-ubyte, or None."""
    for name in (stem, f"{stem}.gz", stem.replace("-idx", ".idx")):
        if (folder / name).is_file():
            return folder / name
    return None


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return an array of unsigned bytes; raises InputError for any other file."""
    data = _read(path)
    head = 4 + 4 * dimensions
    if len(data) < head or data[:2] != b"\0\0":
        raise InputError(f"{str(path)!r} is not an IDX file")
    if data[2] != UNSIGNED_BYTE or data[3] != dimensions:
        raise InputError(
            f"{str(path)!r} holds type {data[2]} with {data[3]} dimensions,"
            f" expected unsigned bytes with {dimensions}"
        )
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    if len(data) - head != math.prod(shape):
        raise InputError(
            f"{str(path)!r} holds {len(data) - head} bytes,"
            f" its header says {math.prod(shape)}: copy it again"
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def _read(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        return gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(
            f"{str(path)!r} is a damaged gzip file: {reason_of(error)}"
        ) from error
