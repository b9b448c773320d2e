"""Fixed point: float32 numbers that are all small multiples of one power of two.

Rounded norms and biases are such numbers. A multiple is one symbol, where the bytes of
floats would be two or more, each coded alone.
"""

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.dtypes import Bytes, Symbols

FEW = 64  # numbers that are looked at before all are
Floats = NDArray[np.float32]


def to_fixed(data: Bytes) -> tuple[int, Symbols] | None:
    """Return e and the multiples k of float32 numbers k * 2**e, (n,) int16.

    None where that would lose a bit, as of -0, or where a multiple is too large.
    """
    values: Floats = data.view("<f4")
    if _exponent(values[:FEW]) is None:
        return None
    exponent = _exponent(values)
    if exponent is None:
        return None
    multiples = np.ldexp(values.astype(np.float64), -exponent)
    if np.abs(multiples).max(initial=0) > spec.MAX_MULTIPLE:
        return None
    short = multiples.astype(np.int16)
    return (
        (exponent, short) if np.array_equal(from_fixed(exponent, short), data) else None
    )


def _exponent(values: Floats) -> int | None:
    """Return the largest e of which all numbers may be small multiples of 2**e."""
    if not np.isfinite(values).all():
        return None
    mantissas, exponents = np.frexp(values[values != 0].astype(np.float64))
    if not len(mantissas):
        return 0
    whole = np.ldexp(mantissas, 24).astype(np.int64)
    _, places = np.frexp((whole & -whole).astype(np.float64))  # of the lowest bits
    exponent = int((exponents - 25 + places).min())
    wide = int(exponents.max()) - exponent > 16
    return None if wide or abs(exponent) > spec.MAX_EXPONENT else exponent


def from_fixed(exponent: int, multiples: Symbols) -> Bytes:
    """Return the bytes of the float32 numbers, every one of which is exact."""
    values = np.ldexp(multiples.astype(np.float32), exponent)
    found: Bytes = values.astype("<f4").view(np.uint8)
    return found
