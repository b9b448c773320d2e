"""From integers to tensors: the fixed order that makes weights equal everywhere.

Legend: N slices, L weights in a slice.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.binary.wire import Writer
from lnx.dtypes import NUMPY_NAMES, DType, Symbols
from lnx.errors import FormatError, printable
from lnx.tensors.container import BLOCK_CELLS, Alias, Container, Exact, Latent, Tensor

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
    tensor: Latent | Exact, held: Container | tuple[NDArray[np.float32], ...]
) -> AnyArray:
    """Return a tensor as a numpy array of its own shape, given the decoders.

    A latent tensor becomes float32: with slices q and decoder S, weight j of a slice
    is q[0] S[0, j] + q[1] S[1, j] + ..., added from left to right, every product and
    every sum rounded to float32 (`formats/SPEC.md`, Reconstruction). bfloat16 and
    float8 come as integer views. Raises FormatError for weights that overflow.
    """
    if isinstance(tensor, Exact):
        data = np.ascontiguousarray(tensor.data)
        return data.view(NUMPY_NAMES[tensor.dtype]).reshape(tensor.shape)
    decoders = held.decoders if isinstance(held, Container) else held
    with np.errstate(all="ignore"):
        weights = decode_rows(tensor.symbols, decoders[tensor.decoder])
    flat = weights.reshape(-1)
    for start in range(0, len(flat), BLOCK_CELLS):
        if not np.isfinite(flat[start : start + BLOCK_CELLS]).all():
            raise FormatError(f"weights of {printable(tensor.name)} overflow float32")
    return weights.reshape(tensor.shape)


def decoded(
    tensors: Iterable[tuple[Tensor, AnyArray | None]],
) -> Iterator[Decoded]:
    """Pair names with arrays; an alias, which has none, takes that of its target."""
    known: dict[str, Decoded] = {}
    for tensor, array in tensors:
        if isinstance(tensor, Alias):
            held = known[tensor.target]
            yield Decoded(tensor.name, held.dtype, held.array)
        elif array is not None:
            known[tensor.name] = Decoded(tensor.name, tensor.dtype, array)
            yield known[tensor.name]


def rebuild_all(container: Container) -> Iterator[Decoded]:
    """Rebuild the tensors of a container, one at a time."""
    return decoded(
        (tensor, None if isinstance(tensor, Alias) else rebuild(tensor, container))
        for tensor in container.tensors
    )


def decode_rows(symbols: Symbols, decoder: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weights of slices, (N, L) in and out."""
    weights = np.empty(symbols.shape, np.float32)
    step = max(1, BLOCK_CELLS // symbols.shape[1])
    scalar = decoder.size == 1
    for start in range(0, len(symbols), step):
        rows = symbols[start : start + step]
        place = weights[start : start + step]
        if scalar:
            np.multiply(rows.astype(np.float32), decoder.reshape(()), out=place)
        else:
            _decode_block(rows, decoder, place)
    return weights


def _decode_block(
    rows: Symbols, decoder: NDArray[np.float32], place: NDArray[np.float32]
) -> None:
    """Decode a few slices. All zero slices decode to the same weights: once."""
    columns = np.ascontiguousarray(rows.T)  # (L, N)
    alive = columns.any(axis=0)
    if alive.all():
        place[:] = _products(columns, decoder)
        return
    place[:] = _products(np.zeros((len(columns), 1), np.int8), decoder)
    place[alive] = _products(columns[:, alive], decoder)


def _products(columns: Symbols, decoder: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weights of slices that stand in columns: (L, N) -> (N, L)."""
    latents = columns.astype(np.float32)
    total: NDArray[np.float32] = decoder[0][:, None] * latents[0]
    product = np.empty_like(total)
    for k in range(1, len(decoder)):
        np.multiply(decoder[k][:, None], latents[k], out=product)
        np.add(total, product, out=total)
    return total.T


class Digests:
    """The two hashes of a file's contents, tensor by tensor in order."""

    def __init__(self) -> None:
        self._integers = hashlib.blake2b(digest_size=spec.CONTENT_DIGEST_BYTES)
        self._rebuilt = hashlib.blake2b(digest_size=spec.CONTENT_DIGEST_BYTES)

    def add(self, tensor: Tensor, array: AnyArray | None) -> None:
        """Take a tensor, and what it was rebuilt to unless it is an alias."""
        self._integers.update(_identity(tensor))
        if isinstance(tensor, Latent):
            self._integers.update(_shortest(tensor.symbols).data)
        elif isinstance(tensor, Exact):
            self._integers.update(np.ascontiguousarray(tensor.data).data)
        if array is not None:
            self._rebuilt.update(np.ascontiguousarray(array).data)

    def add_decoders(self, decoders: Iterable[NDArray[np.float32]]) -> None:
        """Take the decoders, after all tensors."""
        for decoder in decoders:
            self._integers.update(np.ascontiguousarray(decoder, "<f4").data)

    def integers(self) -> bytes:
        """Return the hash of all integers, bound to their names and shapes."""
        return self._integers.digest()

    def rebuilt(self) -> bytes:
        """Return the hash of all rebuilt tensors; aliases repeat nothing."""
        return self._rebuilt.digest()


def digests_of(container: Container) -> Digests:
    """Return both hashes of a container, one tensor rebuilt at a time."""
    digests = Digests()
    for tensor in container.tensors:
        array = None if isinstance(tensor, Alias) else rebuild(tensor, container)
        digests.add(tensor, array)
    digests.add_decoders(container.decoders)
    return digests


def _shortest(symbols: Symbols) -> Symbols:
    """Return latents in the first of 8, 16 and 32 bits that holds all of a tensor."""
    least, most = (int(symbols.min()), int(symbols.max())) if symbols.size else (0, 0)
    for bits in (8, 16):
        if -(1 << bits - 1) <= least and most < 1 << bits - 1:
            return np.ascontiguousarray(symbols, f"<i{bits // 8}")
    return np.ascontiguousarray(symbols, "<i4")


def _identity(tensor: Tensor) -> bytes:
    """Return name, type and shape so that no two tensors give the same bytes."""
    writer = Writer()
    writer.text(tensor.name, spec.MAX_NAME_BYTES)
    if isinstance(tensor, Alias):
        writer.text(tensor.target, spec.MAX_NAME_BYTES)
    else:
        writer.varints([tensor.dtype, len(tensor.shape), *tensor.shape])
    return writer.getvalue()
