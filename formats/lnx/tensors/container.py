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

from lnx.dtypes import DType, Symbols

Record = Mapping[str, Any]
Metadata = Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Latent:
    """A float tensor, as integers and a linear decoder.

    Attributes:
        name: key in the state dict.
        shape: shape of the tensor.
        symbols: (N, L) signed integers of 8, 16 or 32 bits, C order; N * L is the
            number of elements.
        decoder: index into the container's decoders; (L, L), or (1, 1) for a scalar.
        trellis: whether symbols are indices of the trellis (`lnx.tensors.trellis`).
        dtype: F32, or what the decoded float32 numbers are rounded to.
    """

    name: str
    shape: tuple[int, ...]
    symbols: Symbols
    decoder: int
    trellis: bool = False
    dtype: DType = DType.F32


@dataclass(frozen=True, eq=False)
class Exact:
    """A tensor, byte for byte.

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
    """A second name of an earlier tensor of the container."""

    name: str
    target: str


Tensor = Latent | Exact | Alias


@dataclass(frozen=True, eq=False)
class Container:
    """One model: tensors in state-dict order, decoders, and three plain records.

    Attributes:
        tensors: names are unique.
        decoders: float32 matrices, (L, L) or (1, 1), or (R + 1, L) of R reflections.
        architecture: how to build the network, JSON values, or None.
        training: what a training run says of itself, JSON values, or None.
        metadata: what the checkpoint said of itself, text by text, or None.
    """

    tensors: tuple[Tensor, ...]
    decoders: tuple[NDArray[np.float32], ...] = ()
    architecture: Record | None = None
    training: Record | None = None
    metadata: Metadata | None = None

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


def elements(shape: tuple[int, ...]) -> int:
    """Return the number of elements of a shape; 1 for a 0-d tensor."""
    return math.prod(shape)


def extent(shape: tuple[int, ...]) -> int:
    """Return the product of the dimensions that are not 0: what arrays can address."""
    return elements(tuple(size for size in shape if size))


def is_metadata(record: object) -> bool:
    """Return whether a record maps text to text."""
    return isinstance(record, Mapping) and all(
        isinstance(key, str) and isinstance(value, str) for key, value in record.items()
    )
