"""Scales that take the fewest bits: cells, by their class, and the scales themselves.

Rows and columns that are all zero have a scale of their own, so low that their cells
cost next to nothing. The others are coarse where finer ones cost more than they save.
Cells are priced as two-sided geometric variables of the mean size that their class
stands for. Source: rate-distortion choice of side information, as of Sullivan and
Wiegand 1998. Sums are integers, and what is left are single float64 operations, so
every machine finds the same scales.

Legend: O x I slices of L cells; K levels that are tried.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.coding.tables import PRICE_BITS, log2_large
from lnx.dtypes import IntArray, Symbols
from lnx.tensors.classes import Scales
from lnx.write.fit_scales import fit_scales

GRIDS = 1, 2, 4  # half octaves between the scales of rows, and of columns
REACH = 12  # half octaves from the middle, of rows and of columns
FRACTION_BITS = 30  # of probabilities, before their logarithms are taken
LARGEST = 1 << 15  # size that counts: above it there is one class, and sums fit 64 bits
FEWEST = 8  # cells of an index that may have a scale of its own
BLOCK = 1 << 14  # indices whose scales are chosen at once
SMOOTHING = 4  # of counts of scales: one that is not used yet is there once in so many


def cheap_scales(symbols: Symbols, grid: tuple[int, int, int]) -> Scales:
    """Return the scales of a tensor that cost least; symbols (N, L), grid (O, I, L)."""
    sizes = np.abs(np.clip(symbols, -LARGEST, LARGEST).astype(np.int32)).reshape(grid)
    fitted = fit_scales(symbols, grid)
    axes = fitted.rows, fitted.columns, fitted.places
    used = (sizes.any(axis=others) for others in ((1, 2), (0, 2), (0, 1)))
    levels = [
        np.where(alive, x.astype(np.int64), spec.ZERO_SCALE)
        for alive, x in zip(used, axes, strict=True)
    ]
    found = [levels, *(_refined(sizes, levels, step) for step in GRIDS)]
    best = min(found, key=lambda x: _cells_price(sizes, x) + _numbers_price(x))
    return Scales(*(x.astype(np.int8) for x in best))


def _refined(sizes: IntArray, fitted: list[IntArray], step: int) -> list[IntArray]:
    """Return the cheapest level of each index, chosen axis by axis."""
    levels = _start(sizes, fitted, step)
    for axis, size in enumerate(sizes.shape):
        free = levels[axis] > spec.ZERO_SCALE
        if sizes.size < FEWEST * size or not free.any():
            continue
        tried = _tried(axis, step)
        prices = _level_prices(levels, tried)
        best = [
            (_costs(part, levels, axis, tried) + prices).argmin(axis=1)
            for part in _blocks(np.moveaxis(sizes, axis, 0))
        ]
        levels[axis] = np.where(free, tried[np.concatenate(best)], spec.ZERO_SCALE)
    return levels


def _blocks(sizes: IntArray) -> Iterator[IntArray]:
    """Yield sizes, (n, R, C), some of the first axis at a time: bounds the memory."""
    for start in range(0, len(sizes), BLOCK):
        yield sizes[start : start + BLOCK]


def _start(sizes: IntArray, fitted: list[IntArray], step: int) -> list[IntArray]:
    """Return levels to start from: rows and columns around 0, the rest in places.

    An axis whose indices have few cells each has one level.
    """
    levels = list(fitted)
    for axis in (0, 1):
        free = levels[axis] > spec.ZERO_SCALE
        alive = np.sort(levels[axis][free])
        middle = int(alive[len(alive) // 2]) if len(alive) else 0
        levels[2] = np.where(levels[2] > spec.ZERO_SCALE, levels[2] + middle, levels[2])
        reach = 0 if sizes.size < FEWEST * sizes.shape[axis] else REACH
        around = np.clip(levels[axis] - middle, -reach, reach)
        around = (around + step // 2) // step * step
        levels[axis] = np.where(free, around, spec.ZERO_SCALE)
    top = spec.LEAST_CLASS + spec.CLASSES - 1
    around = np.clip(levels[2], spec.LEAST_CLASS, top)
    levels[2] = np.where(levels[2] > spec.ZERO_SCALE, around, spec.ZERO_SCALE)
    return levels


def _tried(axis: int, step: int) -> IntArray:
    """Return the levels that an index of an axis may have, (K,)."""
    if axis == 2:
        return np.arange(spec.LEAST_CLASS, spec.LEAST_CLASS + spec.CLASSES)
    return np.arange(-REACH // step * step, REACH + 1, step)


def _costs(
    sizes: IntArray, levels: list[IntArray], axis: int, tried: IntArray
) -> IntArray:
    """Return what the cells of each index cost at each level, (n, K), in 2**-16 bits.

    `sizes` has that axis first, (n, R, C). A cell costs so much by its class, and so
    much for each step of its size.
    """
    first, second = (i for i in range(3) if i != axis)
    sums = _grouped(sizes, levels[first], levels[second])
    rows, columns = (np.unique(levels[i], return_counts=True) for i in (first, second))
    pairs = (rows[0][:, None] + columns[0]).reshape(-1, 1) + tried  # (G, K)
    classes = np.clip(pairs - spec.LEAST_CLASS, 0, spec.CLASSES - 1)
    zero, larger = _prices()
    cells = (rows[1][:, None] * columns[1]).reshape(-1)
    found: IntArray = sums @ larger[classes] + cells @ zero[classes]
    return found


def _grouped(sizes: IntArray, rows: IntArray, columns: IntArray) -> IntArray:
    """Return sums of sizes (n, R, C) over groups of one level in each axis: (n, G)."""
    for axis, levels in ((1, rows), (2, columns)):
        order = levels.argsort(kind="stable")
        starts = np.flatnonzero(np.diff(levels[order], prepend=levels.min() - 1))
        ordered = np.take(sizes, order, axis=axis)
        sizes = np.add.reduceat(ordered, starts, axis=axis, dtype=np.int64)
    return sizes.reshape(len(sizes), -1)


def _level_prices(levels: list[IntArray], tried: IntArray) -> IntArray:
    """Return what scales cost, from how often they are there; (K,)."""
    every = np.concatenate(levels)
    counts = np.bincount(every - spec.ZERO_SCALE, minlength=256)
    counts = counts[tried - spec.ZERO_SCALE]
    whole = SMOOTHING * len(every) + len(tried)
    return log2_large(np.array(whole)) - log2_large(SMOOTHING * counts + 1)


def _cells_price(sizes: IntArray, levels: list[IntArray]) -> int:
    """Return the bits of all cells, in 2**-16 bits."""
    tried, own = np.unique(levels[2], return_inverse=True)
    costs = _costs(np.moveaxis(sizes, 2, 0), levels, 2, tried)
    return int(costs[np.arange(len(own)), own].sum())


def _numbers_price(levels: list[IntArray]) -> int:
    """Return the bits of the scales under a table of their own."""
    _, counts = np.unique(np.concatenate(levels), return_counts=True)
    total = counts.sum()
    ideal = total * log2_large(total) - (counts * log2_large(counts)).sum()
    # What describing the shares costs: half a logarithm for each of them.
    return int(ideal + len(counts) * log2_large(total) // 2)


@cache
def _prices() -> tuple[IntArray, IntArray]:
    """Return what a cell of each class costs, and each step of its size, (CLASSES,).

    Of mean size m, its size k has the probability (1 - t) / (1 + t) t**k, t = m / (1 +
    sqrt(1 + m * m)), of both signs together but for zero.
    """
    mean = np.sqrt(np.ldexp(1.0, np.arange(spec.CLASSES) + spec.LEAST_CLASS))
    ratio = mean / (1 + np.sqrt(1 + mean * mean))
    return _bits((1 - ratio) / (1 + ratio)), _bits(ratio)


def _bits(shares: NDArray[np.float64]) -> IntArray:
    """Return what events of some probabilities cost, in 2**-16 bits."""
    whole = np.ldexp(shares, FRACTION_BITS).astype(np.int64)
    return (FRACTION_BITS << PRICE_BITS) - log2_large(whole)
