"""What a file cannot store is refused before a byte of it is written."""

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.dtypes import ITEM_BYTES, ROUNDED_TO, DType
from lnx.errors import ContentError, printable, shown
from lnx.tensors.container import (
    Alias,
    Container,
    Exact,
    Latent,
    Tensor,
    elements,
    extent,
    is_metadata,
)
from lnx.tensors.reflections import are_legal, is_reflections
from lnx.tensors.trellis import legal_indices

SYMBOL_TYPES = (np.dtype("<i1"), np.dtype("<i2"), np.dtype("<i4"))


def check_content(container: Container) -> None:
    """Raise ContentError for values that a file cannot store."""
    if len(container.tensors) > spec.MAX_TENSORS:
        raise ContentError(f"{len(container.tensors)} tensors are too many")
    seen: dict[str, Tensor] = {}
    for tensor in container.tensors:
        _check_name(tensor.name)
        if tensor.name in seen:
            raise ContentError(f"two tensors are named {printable(tensor.name)}")
        if isinstance(tensor, Alias):
            _check_alias(tensor, seen)
        elif isinstance(tensor, Exact):
            _check_exact(tensor)
        else:
            _check_latent(tensor, container.decoders)
            _check_coding(tensor)
        seen[tensor.name] = tensor
    _check_decoders(container.decoders)
    if container.metadata is not None and not is_metadata(container.metadata):
        raise ContentError("metadata holds a key or a value that is not text")


def legal_bools(dtype: DType, data: NDArray[np.uint8]) -> bool:
    """Return whether the bytes of a type are all 0 or 1 where it is BOOL."""
    return dtype is not DType.BOOL or not len(data) or int(data.max()) <= 1


def _check_decoders(decoders: tuple[NDArray[np.float32], ...]) -> None:
    for decoder in decoders:
        if decoder.dtype != np.float32:
            raise ContentError(f"decoder of type {decoder.dtype}, expected float32")
        if decoder.ndim != 2 or (is_reflections(decoder) and not are_legal(decoder)):
            raise ContentError(
                f"decoder of shape {decoder.shape} is not square, nor of reflections"
            )
        if not 1 <= decoder.shape[1] <= spec.MAX_SLICE:
            raise ContentError(f"decoder of size {decoder.shape[1]} is out of bounds")
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
        raise ContentError(f"name {printable(name)} is not Unicode") from error
    if size > spec.MAX_NAME_BYTES:
        raise ContentError(
            f"name of {size} bytes, at most {spec.MAX_NAME_BYTES} are allowed"
        )


def _check_alias(tensor: Alias, seen: dict[str, Tensor]) -> None:
    if tensor.target not in seen or isinstance(seen[tensor.target], Alias):
        raise ContentError(
            f"alias {printable(tensor.name)} points to {printable(tensor.target)},"
            " which is not an earlier tensor"
        )


def _check_shape(tensor: Latent | Exact) -> None:
    name, shape = printable(tensor.name), tensor.shape
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ContentError(
            f"{name} has shape {shown(str(shape))}, expected plain integers of at"
            " least 0"
        )
    if len(shape) > spec.MAX_DIMENSIONS:
        raise ContentError(
            f"{name} has {len(shape)} dimensions,"
            f" at most {spec.MAX_DIMENSIONS} are allowed"
        )
    if extent(shape) > spec.MAX_ELEMENTS:
        raise ContentError(f"{name} has a shape that is too large")


def _check_exact(tensor: Exact) -> None:
    _check_shape(tensor)
    name = printable(tensor.name)
    expected = elements(tensor.shape) * ITEM_BYTES[tensor.dtype]
    if tensor.data.dtype != np.uint8 or tensor.data.shape != (expected,):
        raise ContentError(
            f"{name} has data {tensor.data.dtype} {shown(str(tensor.data.shape))},"
            f" expected {expected} bytes"
        )
    if not legal_bools(tensor.dtype, tensor.data):
        raise ContentError(f"{name} has a bool that is neither 0 nor 1")


def _check_coding(tensor: Latent) -> None:
    if tensor.dtype not in ROUNDED_TO:
        raise ContentError(
            f"{printable(tensor.name)} has latents of type {tensor.dtype.name}"
        )
    if tensor.trellis and not legal_indices(tensor.symbols):
        raise ContentError(
            f"{printable(tensor.name)} has an index of the trellis out of bounds"
        )


def _check_latent(tensor: Latent, decoders: tuple[NDArray[np.float32], ...]) -> None:
    _check_shape(tensor)
    name, symbols = printable(tensor.name), tensor.symbols
    if symbols.dtype not in SYMBOL_TYPES or symbols.ndim != 2:
        raise ContentError(
            f"{name} has latents {symbols.dtype} {shown(str(symbols.shape))},"
            " expected rows of int8, int16 or int32"
        )
    if not 1 <= symbols.shape[1] <= spec.MAX_SLICE:
        raise ContentError(f"{name} has slices of {symbols.shape[1]}")
    if symbols.size != elements(tensor.shape):
        raise ContentError(
            f"{name} has {symbols.size} latents for {elements(tensor.shape)} elements"
        )
    if not 0 <= tensor.decoder < len(decoders):
        raise ContentError(f"{name} has no decoder {tensor.decoder}")
    if decoders[tensor.decoder].shape[-1] not in (1, symbols.shape[1]):
        raise ContentError(f"{name} has a decoder for other slices")
