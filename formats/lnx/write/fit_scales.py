"""Fit the scales of a tensor's rows, columns and places to its symbols.

Alternating, one axis at a time: the scale of an index is the sum of magnitudes seen
over the sum expected of the other axes. Sums are integers, and what is left are single
float64 operations without a math library, so every machine finds the same scales.
"""

from math import isqrt
from operator import mul

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.dtypes import Symbols
from lnx.tensors.classes import Scales

ROUNDS = 3
SHRINK = 4.0  # cells of the average that every index is mixed with
POWER_BITS = 24
REACH = 60  # half octaves on either side in the table of powers
LEAST_EXPECTED = 2.0**-REACH
ROOT_HALF = 0.7071067811865476


def _power(x: int) -> int:
    """Return 2 ** (x / 2) times 2**POWER_BITS, rounded, by integers alone."""
    bits = x + 2 * POWER_BITS + 2
    return (isqrt(1 << bits) + 1) >> 1 if bits >= 0 else 0


_POWERS = [_power(x) for x in range(-REACH, REACH + 1)]


def fit_scales(symbols: Symbols, grid: tuple[int, int, int]) -> Scales:
    """Return the scales of a tensor; symbols are (N, L), the grid is (O, I, L)."""
    sums = _sums(symbols, grid)
    levels = [np.zeros(size, np.int64) for size in grid]
    for _ in range(ROUNDS):
        for axis, seen in enumerate(sums):
            if axis and grid[axis] == 1:
                continue
            others = [levels[i] for i in range(3) if i != axis]
            levels[axis] = _level(seen, others, symbols.size // grid[axis])
            if axis:  # the overall level stays with the rows
                shift = int(np.sort(levels[axis])[len(levels[axis]) // 2])
                levels[axis] -= shift
                levels[0] += shift
    low, high = spec.LEAST_CLASS - spec.CLASSES, spec.LEAST_CLASS + 2 * spec.CLASSES
    rows, columns, places = (np.clip(x, low, high).astype(np.int8) for x in levels)
    return Scales(rows, columns, places)


def _sums(
    symbols: Symbols, grid: tuple[int, int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return sums of magnitudes over all but each axis."""
    rows, columns, _ = grid
    sizes = np.abs(symbols.astype(np.int32)).reshape(grid)  # (O, I, L)
    slices = sizes.sum(axis=2, dtype=np.int64)  # (O, I)
    places = sizes.reshape(rows * columns, -1).sum(axis=0, dtype=np.int64)
    return slices.sum(axis=1), slices.sum(axis=0), places


def _level(
    seen: NDArray[np.int64], others: list[NDArray[np.int64]], cells: int
) -> NDArray[np.int64]:
    """Return the half octaves of what was seen over what the other axes expect."""
    expected = 1.0
    for levels in others:
        counts = np.bincount(np.clip(levels, -REACH, REACH) + REACH).tolist()
        total = sum(map(mul, counts, _POWERS))  # an integer, so order does not matter
        expected *= total / 2.0**POWER_BITS
    mean = float(seen.sum()) / len(seen)
    shrink = SHRINK / max(cells, 1)
    ratio = (seen + shrink * mean) / (max(expected, LEAST_EXPECTED) * (1 + shrink))
    fraction, exponent = np.frexp(np.maximum(ratio * ratio, 2.0**-REACH))
    return exponent.astype(np.int64) - (fraction < ROOT_HALF)
