"""Fit a geometric table to counts, in integers, so that it is the same everywhere."""

from collections.abc import Callable

import numpy as np

from lnx import spec
from lnx.coding.geometric import Geometric
from lnx.coding.tables import Table
from lnx.dtypes import IntArray

BITS = 14
STEPS = (4, 1)
START = 200  # of a factor that the counts do not give
EQUAL_WEIGHT = 64  # code of the weight that the peak has


def fit_geometric(values: IntArray, counts: IntArray) -> Table | None:
    """Return the geometric table under which symbols take the fewest bits.

    values are in order, counts positive. None where they are too far apart.
    """
    first, span = int(values[0]), int(values[-1] - values[0]) + 1
    if span > spec.MAX_GEOMETRIC:
        return None

    def price(shape: Geometric) -> int:
        prices = Table(symbols, shape.frequencies(BITS), BITS).prices
        return int((counts * prices[places]).sum())

    symbols, places = np.arange(first, first + span), values - first
    half = int(np.searchsorted(np.cumsum(counts), int(counts.sum()) // 2))
    peaks = {int(places[half]), int(places[int(counts.argmax())])}
    starts = [_start(first, span, peak, places, counts) for peak in sorted(peaks)]
    best = _descended(min(starts, key=price), price)
    return Table(symbols, best.frequencies(BITS), BITS, best)


def _start(
    first: int, span: int, peak: int, places: IntArray, counts: IntArray
) -> Geometric:
    """Return the shape whose sides have the mean distances that the counts have."""
    factors, weight = [], 0
    for distances in (peak - places, places - peak):
        side = (distances > 0) & (places != -first)
        number = int(counts[side].sum())
        far = int((distances[side] * counts[side]).sum()) - number
        factors.append(min(255, 256 * far // (far + number)) if far else START)
        weight += number * number // far if far else number
    zeros = int(counts[places == -first].sum())
    code = EQUAL_WEIGHT + _eighths(2 * zeros, max(weight, 1))
    code = min(max(code, 0), spec.MAX_ZERO_WEIGHT)
    return Geometric(first, span, peak, code, *factors)


def _eighths(number: int, other: int) -> int:
    """Return 8 times the logarithm to base 2 of a ratio, to the next step or so."""
    sign = 1
    if number < other:
        number, other, sign = other, max(number, 1), -1
    whole = (number // other).bit_length() - 1
    return sign * (8 * whole + 8 * (number - (other << whole)) // (other << whole))


def _descended(shape: Geometric, price: Callable[[Geometric], int]) -> Geometric:
    """Change one number at a time, in smaller and smaller steps, while that pays."""
    least = price(shape)
    most = {
        "peak": shape.size - 1, "zero": spec.MAX_ZERO_WEIGHT, "left": 255, "right": 255
    }  # fmt: skip
    for step in STEPS:
        improved = True
        while improved:
            improved = False
            for name, limit in most.items():
                for change in (-step, step):
                    number = getattr(shape, name) + change
                    if not 0 <= number <= limit:
                        continue
                    other = shape._replace(**{name: number})
                    cost = price(other)
                    if cost < least:
                        shape, least, improved = other, cost, True
    return shape
