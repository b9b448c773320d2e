"""From integers to tensors, one at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnx.dtypes import NUMPY_NAMES, DType, round_to, widen
from lnx.errors import FormatError, printable
from lnx.tensors.container import Alias, Container, Exact, Latent, Tensor
from lnx.tensors.products import decode_rows
from lnx.tensors.slices import BLOCK_CELLS
from lnx.tensors.trellis import expand

AnyArray = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Decoded:
    """One tensor, rebuilt; tied names have the same array.

    Attributes:
        dtype: element type; numpy has none for bfloat16 and what is below 16 bits,
            which come as integers.
    """

    name: str
    dtype: DType
    array: AnyArray


def rebuild(
    tensor: Latent | Exact, source: Container | tuple[NDArray[np.float32], ...]
) -> AnyArray:
    """Return a tensor as a numpy array of its own shape, given all decoders.

    A latent tensor becomes float32, each slice by its decoder (`decode_rows`), and is
    then rounded to its own type. bfloat16 and float8 come as integer views. Raises
    FormatError for weights that overflow.
    """
    if isinstance(tensor, Exact):
        data = np.ascontiguousarray(tensor.data)
        return data.view(NUMPY_NAMES[tensor.dtype]).reshape(tensor.shape)
    decoders = source.decoders if isinstance(source, Container) else source
    symbols = expand(tensor.symbols) if tensor.trellis else tensor.symbols
    with np.errstate(all="ignore"):
        weights = decode_rows(symbols, decoders[tensor.decoder])
    _check_finite(weights.reshape(-1), tensor)
    rounded = round_to(weights, tensor.dtype)
    if tensor.dtype in (DType.F16, DType.BF16):
        widened = widen(rounded.reshape(-1).view(np.uint8), tensor.dtype, DType.F32)
        _check_finite(widened.view("<f4"), tensor)
    return rounded.reshape(tensor.shape)


def _check_finite(flat: NDArray[np.float32], tensor: Latent) -> None:
    for start in range(0, len(flat), BLOCK_CELLS):
        if not np.isfinite(flat[start : start + BLOCK_CELLS]).all():
            raise FormatError(
                f"weights of {printable(tensor.name)} overflow {tensor.dtype.name}"
            )


def decoded(
    tensors: Iterable[tuple[Tensor, AnyArray | None]],
) -> Iterator[Decoded]:
    """Pair names with arrays; an alias, which has none, takes that of its target."""
    known: dict[str, Decoded] = {}
    for tensor, array in tensors:
        if isinstance(tensor, Alias):
            target = known[tensor.target]
            yield Decoded(tensor.name, target.dtype, target.array)
        elif array is not None:
            known[tensor.name] = Decoded(tensor.name, tensor.dtype, array)
            yield known[tensor.name]


def rebuild_all(container: Container) -> Iterator[Decoded]:
    """Rebuild the tensors of a container, one at a time."""
    return decoded(
        (tensor, None if isinstance(tensor, Alias) else rebuild(tensor, container))
        for tensor in container.tensors
    )
