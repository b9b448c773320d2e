"""Fit a geometric table to counts, in integers, so that it is the same everywhere."""

from collections.abc import Callable

import numpy as np

from lnx import spec
from lnx.coding.geometric import Geometric
from lnx.coding.tables import Table
from lnx.dtypes import IntArray

BITS = 14
STEPS = (32, 8, 2, 1)
START = 200  # of both factors
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
    starts = [
        Geometric(first, span, peak, EQUAL_WEIGHT, START, START)
        for peak in sorted(peaks)
    ]
    best = min((_descended(start, price) for start in starts), key=price)
    return Table(symbols, best.frequencies(BITS), BITS, best)


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
