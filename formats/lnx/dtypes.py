"""Element types, their numpy names, and the shorter types that give them back."""

from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lnx.errors import FormatError

IntArray = NDArray[np.int64]
Symbols = NDArray[np.integer[Any]]  # of at most 32 bits
Bytes = NDArray[np.uint8]


class DType(IntEnum):
    """Element types, all little-endian."""

    BOOL = 1
    U8 = 2
    I8 = 3
    U16 = 4
    I16 = 5
    U32 = 6
    I32 = 7
    U64 = 8
    I64 = 9
    F16 = 10
    BF16 = 11
    F32 = 12
    F64 = 13
    F8_E4M3 = 14
    F8_E5M2 = 15
    C64 = 16
    F8_E4M3FNUZ = 17
    F8_E5M2FNUZ = 18
    F8_E8M0 = 19
    F4_X2 = 20  # two values in a byte, counted as one element


ITEM_BYTES: Final[dict[DType, int]] = {
    DType.BOOL: 1,
    DType.U8: 1,
    DType.I8: 1,
    DType.U16: 2,
    DType.I16: 2,
    DType.U32: 4,
    DType.I32: 4,
    DType.U64: 8,
    DType.I64: 8,
    DType.F16: 2,
    DType.BF16: 2,
    DType.F32: 4,
    DType.F64: 8,
    DType.F8_E4M3: 1,
    DType.F8_E5M2: 1,
    DType.C64: 8,
    DType.F8_E4M3FNUZ: 1,
    DType.F8_E5M2FNUZ: 1,
    DType.F8_E8M0: 1,
    DType.F4_X2: 1,
}

# numpy's name of each element type; bfloat16 and below 16 bits appear as integer views.
NUMPY_NAMES: Final[dict[DType, str]] = {
    DType.BOOL: "bool",
    DType.U8: "<u1",
    DType.I8: "<i1",
    DType.U16: "<u2",
    DType.I16: "<i2",
    DType.U32: "<u4",
    DType.I32: "<i4",
    DType.U64: "<u8",
    DType.I64: "<i8",
    DType.F16: "<f2",
    DType.BF16: "<u2",
    DType.F32: "<f4",
    DType.F64: "<f8",
    DType.F8_E4M3: "<u1",
    DType.F8_E5M2: "<u1",
    DType.C64: "<c8",
    DType.F8_E4M3FNUZ: "<u1",
    DType.F8_E5M2FNUZ: "<u1",
    DType.F8_E8M0: "<u1",
    DType.F4_X2: "<u1",
}

# What decoded float32 numbers may be rounded to.
ROUNDED_TO = (DType.F32, DType.F64, DType.F16, DType.BF16)

NARROWER = {DType.F32: (DType.BF16, DType.F16), DType.F64: (DType.F32,)}


def shortest_type(
    low: int, high: int, *, signed: bool = False
) -> np.dtype[np.integer[Any]]:
    """Return the shortest integer type, of at most 32 bits, for low to high."""
    for bits in (8, 16):
        if -(1 << bits - 1) <= low and high < 1 << bits - 1:
            return np.dtype(f"i{bits // 8}")
        if low >= 0 and high < 1 << bits and not signed:
            return np.dtype(f"u{bits // 8}")
    return np.dtype("i4")


def shortened(symbols: Symbols) -> Symbols:
    """Return integers in the first of 8, 16 and 32 bits, signed, that holds all."""
    least, most = (int(symbols.min()), int(symbols.max())) if symbols.size else (0, 0)
    short = shortest_type(least, most, signed=True).newbyteorder("<")
    return symbols.astype(short, copy=False)


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
        converted = _convert(data, dtype, short)
        if np.array_equal(widen(converted, short, dtype), data):
            return short, converted
    return dtype, data


def widen(data: Bytes, short: DType, dtype: DType) -> Bytes:
    """Return data in its own type; every conversion here is exact.

    Raises FormatError for a NaN of a shorter type, which no writer stores.
    """
    if short is dtype:
        return data
    if short is DType.BF16:
        words = data.view("<u2").astype("<u4") << np.uint32(16)
        return words.astype("<u4").view(np.uint8)
    floats = data.view(_FLOATS[short])
    if np.isnan(floats).any():
        raise FormatError(f"NaN stored as {short.name}")
    return floats.astype(_FLOATS[dtype]).view(np.uint8)


# Floats whose exponents straddle two bytes, below the sign.
TURNED = (DType.F32, DType.BF16)


def turn(data: Bytes, dtype: DType) -> Bytes:
    """Return floats with the sign moved to the lowest bit: exponents fill a byte.

    dtype must be one of TURNED.
    """
    return _rotated(data, dtype, 1)


def turn_back(data: Bytes, dtype: DType) -> Bytes:
    """Undo `turn`."""
    return _rotated(data, dtype, 8 * ITEM_BYTES[dtype] - 1)


def _rotated(data: Bytes, dtype: DType, bits: int) -> Bytes:
    """Return words with their highest bits moved to their low end."""
    words = data.view(f"<u{ITEM_BYTES[dtype]}")
    kind = words.dtype.type
    rotated = words << kind(bits) | words >> kind(8 * words.itemsize - bits)
    found: Bytes = rotated.view(np.uint8)
    return found


def can_widen(short: DType, dtype: DType) -> bool:
    """Return whether a file may store elements of dtype as short."""
    return short is dtype or short in NARROWER.get(dtype, ())


_FLOATS = {DType.F16: "<f2", DType.F32: "<f4", DType.F64: "<f8"}


def _convert(data: Bytes, dtype: DType, short: DType) -> Bytes:
    if short is DType.BF16:
        return (data.view("<u4") >> np.uint32(16)).astype("<u2").view(np.uint8)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return data.view(_FLOATS[dtype]).astype(_FLOATS[short]).view(np.uint8)


def round_to(values: NDArray[np.float32], dtype: DType) -> NDArray[np.generic]:
    """Return float32 numbers in a type of ROUNDED_TO, to the nearest, ties to even.

    bfloat16 comes as uint16. Numbers beyond the type's range become infinite.
    """
    if dtype is DType.BF16:
        bits = values.view(np.uint32)
        odd = bits >> np.uint32(16) & np.uint32(1)
        return ((bits + (np.uint32(0x7FFF) + odd)) >> np.uint32(16)).astype("<u2")
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(NUMPY_NAMES[dtype], copy=False)
