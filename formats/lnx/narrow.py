"""Hold exact tensors in fewer bytes: as one repeated value, or in a shorter type."""

import numpy as np
from numpy.typing import NDArray

from lnx.errors import FormatError
from lnx.spec import ITEM_BYTES, DType

Bytes = NDArray[np.uint8]

NARROWER = {DType.F32: (DType.BF16, DType.F16), DType.F64: (DType.F32,)}


def repeated(data: Bytes, dtype: DType) -> bytes | None:
    """Return the one element that data repeats, or None."""
    size = ITEM_BYTES[dtype]
    if not len(data):
        return None
    first = data[:size]
    same = bool((data.reshape(-1, size) == first).all())
    return first.tobytes() if same else None


def narrow(data: Bytes, dtype: DType) -> tuple[DType, Bytes]:
    """Return the shortest type that gives every bit back, and data in it."""
    for short in NARROWER.get(dtype, ()):
        # What a conversion makes of NaN differs between machines; bits are bits.
        if short is not DType.BF16 and np.isnan(data.view(_FLOATS[dtype])).any():
            continue
        held = _convert(data, dtype, short)
        if np.array_equal(widen(held, short, dtype), data):
            return short, held
    return dtype, data


def widen(data: Bytes, short: DType, dtype: DType) -> Bytes:
    """Return data in its own type; every conversion here is exact.

    Raises FormatError for NaN that is held short, as no writer does.
    """
    if short is dtype:
        return data
    if short is DType.BF16:
        words = data.view("<u2").astype("<u4") << np.uint32(16)
        return words.astype("<u4").view(np.uint8)
    floats = data.view(_FLOATS[short])
    if np.isnan(floats).any():
        raise FormatError(f"NaN held as {short.name}")
    return floats.astype(_FLOATS[dtype]).view(np.uint8)


def can_widen(short: DType, dtype: DType) -> bool:
    """Tell whether a file may hold this type in that one."""
    return short is dtype or short in NARROWER.get(dtype, ())


_FLOATS = {DType.F16: "<f2", DType.F32: "<f4", DType.F64: "<f8"}


def _convert(data: Bytes, dtype: DType, short: DType) -> Bytes:
    if short is DType.BF16:
        return (data.view("<u4") >> np.uint32(16)).astype("<u2").view(np.uint8)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return data.view(_FLOATS[dtype]).astype(_FLOATS[short]).view(np.uint8)
