"""What can be said of one tensor alone: zstd, zeros, a narrower type that holds it."""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lilnetx_cli.checkpoint.convert import TO_FILE, to_bytes

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

LEVEL = 3  # zstd's own default
BLOCK = 1 << 20  # bytes or elements that are looked at together
MOST_BLOCKS = 32  # of a tensor that zstd is tried on, evenly spaced in it
TRIED = 1 << 12  # elements that are tried before all of them are

# What may hold the numbers of a wider type, the narrowest first.
NARROWER: dict[torch.dtype, tuple[torch.dtype, ...]] = {
    torch.float64: (torch.int8, torch.bfloat16, torch.float16, torch.float32),
    torch.float32: (torch.int8, torch.bfloat16, torch.float16),
    torch.bfloat16: (torch.int8,),
    torch.float16: (torch.int8,),
    torch.int64: (torch.uint8, torch.int8, torch.int16, torch.int32),
    torch.int32: (torch.uint8, torch.int8, torch.int16),
    torch.int16: (torch.uint8, torch.int8),
}


@dataclass(frozen=True)
class TensorStats:
    """What was measured of a tensor's elements.

    Attributes:
        zstd_bytes: of its bytes at zstd's default level, by a part of a large one.
        constant: whether all elements are equal, or there are none.
        zeros: elements that are zero.
        zero_rows: indices of dimension 0 at which all is zero, of two dimensions or
            more.
        zero_columns: the same of dimension 1.
        narrower: the type that holds its numbers exactly in fewer bytes, or None, also
            where all are equal.
    """

    zstd_bytes: int
    constant: bool
    zeros: int
    zero_rows: int
    zero_columns: int
    narrower: str | None


def measure_tensor(tensor: Tensor) -> TensorStats:
    """Look at every element of a dense tensor."""
    data = to_bytes(tensor)
    numbers = tensor.detach().cpu()
    if numbers.is_floating_point() and numbers.element_size() == 1:
        numbers = numbers.view(torch.uint8)  # torch does not compare all such floats
    rows = columns = 0
    filled = numbers != 0
    zeros = numbers.numel() - int(filled.sum())
    if zeros and numbers.dim() > 1 and numbers.numel():
        rows = int((~filled.flatten(1).any(1)).sum())
        columns = int((~filled.transpose(0, 1).flatten(1).any(1)).sum())
    flat = numbers.reshape(-1)
    constant = bool((flat == flat[:1]).all())
    type_name = None if constant else narrower(flat)
    return TensorStats(zstd_bytes(data), constant, zeros, rows, columns, type_name)


def zstd_bytes(data: NDArray[np.uint8]) -> int:
    """Return what zstd makes of bytes, from a part of very many."""
    blocks = range(0, len(data), BLOCK)
    chosen = blocks[:: max(1, -(-len(blocks) // MOST_BLOCKS))]
    compressor = zstd.ZstdCompressor(LEVEL)
    size = tried = 0
    for start in chosen:
        block = data[start : start + BLOCK]
        size += len(compressor.compress(block.data))
        tried += len(block)
    size += len(compressor.flush())
    return size if len(chosen) == len(blocks) else round(size * len(data) / tried)


def digest_of(tensor: Tensor) -> bytes:
    """Return a hash of the elements of a dense tensor."""
    return hashlib.blake2b(to_bytes(tensor).data, digest_size=16).digest()


def narrower(flat: Tensor) -> str | None:
    """Return the narrowest type that gives every number back, NaN for NaN; (n,)."""
    for kind in NARROWER.get(flat.dtype, ()):
        if all(_holds(kind, part) for part in _parts(flat)):
            return TO_FILE[kind].name
    return None


def _parts(flat: Tensor) -> Iterator[Tensor]:
    yield flat[:: max(1, len(flat) // TRIED)]
    yield from torch.split(flat, BLOCK)


def _holds(kind: torch.dtype, part: Tensor) -> bool:
    if not kind.is_floating_point:
        bounds = torch.iinfo(kind)
        if not bool(((part >= bounds.min) & (part <= bounds.max)).all()):
            return False
    made = part.to(kind).to(part.dtype)
    return bool(((made == part) | (made.isnan() & part.isnan())).all())
