"""Geometric tables: a few bytes for the frequencies of many symbols.

From a peak on both sides, each symbol is less frequent than its neighbor by a factor of
the side. Symbol 0 has a weight of its own: there are more zeros than a peak explains.
"""

from typing import NamedTuple

import numpy as np

from lnx.dtypes import IntArray

PEAK_WEIGHT = 1 << 20
ZERO_SHIFT = 9  # of the least weight of symbol 0, which is that of the peak / 256
FACTOR_BITS = 8


class Geometric(NamedTuple):
    """What gives the frequencies of consecutive symbols.

    Attributes:
        first: the first symbol.
        size: how many there are.
        peak: index of the peak.
        zero: code of the weight of symbol 0, in steps of an eighth to a sixteenth.
        left, right: 256 times the factors on the sides of the peak.
    """

    first: int
    size: int
    peak: int
    zero: int
    left: int
    right: int

    def frequencies(self, bits: int) -> IntArray:
        """Return frequencies of sum 2**bits, each at least 1; integers alone."""
        down = _decline(self.left, self.peak)
        up = _decline(self.right, self.size - 1 - self.peak)
        weights = [*reversed(down), PEAK_WEIGHT, *up]
        if 0 <= -self.first < self.size:
            weights[-self.first] = (8 + self.zero % 8) << ZERO_SHIFT + self.zero // 8
        total, room = sum(weights), (1 << bits) - self.size
        found = np.array([1 + weight * room // total for weight in weights], np.int64)
        found[self.peak] += (1 << bits) - int(found.sum())
        return found


def _decline(factor: int, count: int) -> list[int]:
    """Return the weights of one side, from the peak on."""
    weights, weight = [], PEAK_WEIGHT
    for _ in range(count):
        weight = weight * factor >> FACTOR_BITS
        weights.append(weight)
    return weights
