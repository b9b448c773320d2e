"""From integers to tensors: the fixed order that makes weights equal everywhere."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.content import Alias, Container, Exact, Latent, Tensor
from lnx.errors import FormatError, printable
from lnx.spec import NUMPY_NAMES
from lnx.wire import Writer

AnyArray = NDArray[np.generic]


def rebuild(tensor: Latent | Exact, container: Container) -> AnyArray:
    """Return a tensor as a numpy array of its own shape.

    A latent tensor becomes float32: with slices q and decoder S, weight j of a slice
    is q[0] S[0, j] + q[1] S[1, j] + ..., added from left to right, every product and
    every sum rounded to float32 (`formats/SPEC.md`, Reconstruction). bfloat16 and
    float8 come as integer views. Raises FormatError for weights that overflow.
    """
    if isinstance(tensor, Exact):
        data = np.ascontiguousarray(tensor.data)
        return data.view(NUMPY_NAMES[tensor.dtype]).reshape(tensor.shape)
    decoder = container.decoders[tensor.decoder]
    with np.errstate(all="ignore"):
        weights = decode_rows(tensor.symbols, decoder)
    if not np.isfinite(weights).all():
        raise FormatError(f"weights of {printable(tensor.name)} overflow float32")
    return weights.reshape(tensor.shape)


def decode_rows(
    symbols: NDArray[np.int32], decoder: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the weights of slices, (N, L) in and out."""
    rows = symbols.astype(np.float32)
    if decoder.size == 1:
        return rows * decoder.reshape(())
    total: NDArray[np.float32] = rows[:, :1] * decoder[0]
    for k in range(1, len(decoder)):
        total += rows[:, k : k + 1] * decoder[k]
    return total


def integers_digest(container: Container) -> bytes:
    """Return the hash of all decoded integers, bound to their names and shapes."""
    state = hashlib.blake2b(digest_size=spec.CONTENT_DIGEST_BYTES)
    for tensor in container.tensors:
        state.update(_identity(tensor))
        if isinstance(tensor, Latent):
            state.update(np.ascontiguousarray(tensor.symbols, "<i4").data)
        elif isinstance(tensor, Exact):
            state.update(np.ascontiguousarray(tensor.data).data)
    for decoder in container.decoders:
        state.update(np.ascontiguousarray(decoder, "<f4").data)
    return state.digest()


def rebuilt_digest(container: Container) -> bytes:
    """Return the hash of all rebuilt tensors; aliases repeat nothing."""
    state = hashlib.blake2b(digest_size=spec.CONTENT_DIGEST_BYTES)
    for tensor in container.tensors:
        if not isinstance(tensor, Alias):
            state.update(np.ascontiguousarray(rebuild(tensor, container)).data)
    return state.digest()


def _identity(tensor: Tensor) -> bytes:
    """Return name, type and shape so that no two tensors give the same bytes."""
    writer = Writer()
    writer.text(tensor.name, spec.MAX_NAME_BYTES)
    if isinstance(tensor, Alias):
        writer.text(tensor.target, spec.MAX_NAME_BYTES)
    else:
        writer.varints([tensor.dtype, len(tensor.shape), *tensor.shape])
    return writer.getvalue()
