"""What a container holds, as frozen values without any bytes of the file.

Legend: N slices, L weights in a slice.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.dtypes import ITEM_BYTES, DType, Symbols
from lnx.errors import ContentError

Record = Mapping[str, Any]

LONG_ROWS = 64
BLOCK_CELLS = 1 << 15  # what a processor's cache holds with its temporaries
SYMBOL_TYPES = (np.dtype("<i1"), np.dtype("<i2"), np.dtype("<i4"))


@dataclass(frozen=True, eq=False)
class Latent:
    """A float32 tensor held as integers behind a linear decoder.

    Attributes:
        name: key in the state dict.
        shape: shape of the tensor.
        symbols: (N, L) signed integers of 8, 16 or 32 bits, C order; N * L is the
            number of elements.
        decoder: index into the container's decoders; (L, L), or (1, 1) for a scalar.
    """

    name: str
    shape: tuple[int, ...]
    symbols: Symbols
    decoder: int

    @property
    def dtype(self) -> DType:
        """Decoders give float32."""
        return DType.F32


@dataclass(frozen=True, eq=False)
class Exact:
    """A tensor held byte for byte.

    Attributes:
        name: key in the state dict.
        dtype: element type.
        shape: shape of the tensor.
        data: (bytes,) uint8, elements in C order, little-endian.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    data: NDArray[np.uint8]


@dataclass(frozen=True)
class Alias:
    """A second name of a tensor that stands earlier in the container."""

    name: str
    target: str


Tensor = Latent | Exact | Alias


@dataclass(frozen=True, eq=False)
class Container:
    """One model: tensors in state-dict order, decoders, and two plain records.

    Attributes:
        tensors: names are unique.
        decoders: float32 matrices, (L, L) or (1, 1).
        architecture: how to build the network, JSON values, or None.
        summary: what training reports of itself, JSON values, or None.
    """

    tensors: tuple[Tensor, ...]
    decoders: tuple[NDArray[np.float32], ...] = ()
    architecture: Record | None = None
    summary: Record | None = None

    def __getitem__(self, name: str) -> Tensor:
        """Return the tensor of a name; raises KeyError."""
        return self.tensors[self._index[name]]

    def resolve(self, name: str) -> Latent | Exact:
        """Return the tensor of a name, an alias followed; raises KeyError."""
        tensor = self[name]
        return self.resolve(tensor.target) if isinstance(tensor, Alias) else tensor

    @cached_property
    def _index(self) -> dict[str, int]:
        return {tensor.name: i for i, tensor in enumerate(self.tensors)}


def zero_channels(
    alive: NDArray[np.bool_], shape: tuple[int, ...], length: int
) -> tuple[int, int]:
    """Return how many indices of dimensions 0 and 1 hold nothing but zeros.

    `alive` tells which slices of `length` elements have another value. Slices of one
    element of more than the first two dimensions have no channels to count: (0, 0).
    """
    if len(shape) < 2 or not len(alive) or elements(shape[2:]) % length:
        return 0, 0
    grid = np.asarray(alive.reshape(*shape[:2], -1).any(axis=2))  # (O, I)
    rows, columns = (np.count_nonzero(grid.any(axis=axis)) for axis in (1, 0))
    return shape[0] - int(rows), shape[1] - int(columns)


def alive_rows(symbols: Symbols) -> NDArray[np.bool_]:
    """Tell which slices have a non-zero latent; (N, L) -> (N,)."""
    length = symbols.shape[1]
    if length >= LONG_ROWS:
        return np.asarray(symbols.any(axis=1))
    alive = np.empty(len(symbols), np.bool_)
    step = BLOCK_CELLS // length
    for start in range(0, len(symbols), step):  # turned around, short rows go fast
        turned = np.ascontiguousarray(symbols[start : start + step].T)
        turned.any(axis=0, out=alive[start : start + step])
    return alive


def elements(shape: tuple[int, ...]) -> int:
    """Return the number of elements of a shape; 1 for a 0-d tensor."""
    return math.prod(shape)


def extent(shape: tuple[int, ...]) -> int:
    """Return the product of the dimensions that are not 0: what arrays can address."""
    return elements(tuple(size for size in shape if size))


def check_content(container: Container) -> None:
    """Raise ContentError for values that a file cannot hold."""
    if len(container.tensors) > spec.MAX_TENSORS:
        raise ContentError(f"{len(container.tensors)} tensors are too many")
    seen: dict[str, Tensor] = {}
    for tensor in container.tensors:
        _check_name(tensor.name)
        if tensor.name in seen:
            raise ContentError(f"two tensors are named {tensor.name!r}")
        if isinstance(tensor, Alias):
            if tensor.target not in seen or isinstance(seen[tensor.target], Alias):
                raise ContentError(
                    f"alias {tensor.name!r} points to {tensor.target!r},"
                    " which is no earlier tensor"
                )
        elif isinstance(tensor, Exact):
            _check_exact(tensor)
        else:
            _check_latent(tensor, container.decoders)
        seen[tensor.name] = tensor
    _check_decoders(container.decoders)


def _check_decoders(decoders: tuple[NDArray[np.float32], ...]) -> None:
    for decoder in decoders:
        if decoder.dtype != np.float32:
            raise ContentError(f"decoder of type {decoder.dtype}, expected float32")
        if decoder.ndim != 2 or decoder.shape[0] != decoder.shape[1]:
            raise ContentError(f"decoder of shape {decoder.shape} is not square")
        if not 1 <= decoder.shape[0] <= spec.MAX_SLICE:
            raise ContentError(f"decoder of size {decoder.shape[0]} is out of bounds")
        if not np.isfinite(decoder).all():
            raise ContentError("a decoder holds NaN or Inf")
    numbers = sum(decoder.size for decoder in decoders)
    if len(decoders) > spec.MAX_DECODERS or numbers > spec.MAX_DECODER_NUMBERS:
        raise ContentError(
            f"{len(decoders)} decoders of {numbers} numbers are too many"
        )


def _check_name(name: str) -> None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise ContentError(f"name {name[:40]!r} is not Unicode") from error
    if size > spec.MAX_NAME_BYTES:
        raise ContentError(
            f"name of {size} bytes, at most {spec.MAX_NAME_BYTES} are held"
        )


def _check_shape(tensor: Latent | Exact) -> None:
    if not all(type(size) is int and size >= 0 for size in tensor.shape):
        raise ContentError(
            f"{tensor.name!r} has shape {tensor.shape}, expected plain integers of at"
            " least 0"
        )
    if len(tensor.shape) > spec.MAX_DIMENSIONS:
        raise ContentError(
            f"{tensor.name!r} has {len(tensor.shape)} dimensions,"
            f" at most {spec.MAX_DIMENSIONS} are held"
        )
    if extent(tensor.shape) > spec.MAX_ELEMENTS:
        raise ContentError(f"{tensor.name!r} has a shape that is too large")


def _check_exact(tensor: Exact) -> None:
    _check_shape(tensor)
    expected = elements(tensor.shape) * ITEM_BYTES[tensor.dtype]
    if tensor.data.dtype != np.uint8 or tensor.data.shape != (expected,):
        raise ContentError(
            f"{tensor.name!r} has data {tensor.data.dtype} {tensor.data.shape},"
            f" expected {expected} bytes"
        )
    if not legal_bools(tensor.dtype, tensor.data):
        raise ContentError(f"{tensor.name!r} has a bool that is neither 0 nor 1")


def legal_bools(dtype: DType, data: NDArray[np.uint8]) -> bool:
    """Tell whether bytes of a type are none but 0 and 1 where it is BOOL."""
    return dtype is not DType.BOOL or not len(data) or int(data.max()) <= 1


def _check_latent(tensor: Latent, decoders: tuple[NDArray[np.float32], ...]) -> None:
    _check_shape(tensor)
    symbols = tensor.symbols
    if symbols.dtype not in SYMBOL_TYPES or symbols.ndim != 2:
        raise ContentError(
            f"{tensor.name!r} has latents {symbols.dtype} {symbols.shape}, expected"
            " rows of int8, int16 or int32"
        )
    if not 1 <= symbols.shape[1] <= spec.MAX_SLICE:
        raise ContentError(f"{tensor.name!r} has slices of {symbols.shape[1]}")
    if symbols.size != elements(tensor.shape):
        raise ContentError(
            f"{tensor.name!r} has {symbols.size} latents for shape {tensor.shape}"
        )
    if not 0 <= tensor.decoder < len(decoders):
        raise ContentError(f"{tensor.name!r} has no decoder {tensor.decoder}")
    if decoders[tensor.decoder].shape[0] not in (1, symbols.shape[1]):
        raise ContentError(f"{tensor.name!r} has a decoder for other slices")
