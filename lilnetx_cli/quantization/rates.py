"""What an index costs, class by class, estimated from how often indices appear."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lnx import spec

MOST_SIZES = 1 << 12  # magnitudes with a price of their own
SMOOTHING = 0.25  # counts added to every magnitude
EXACT_SIZES = 6  # magnitudes from here on share the count of a bin


def count_sizes(
    indices: NDArray[np.int32], classes: NDArray[np.uint8], most: int
) -> NDArray[np.float64]:
    """Return how often each magnitude appears in each class; (C, most + 1)."""
    sizes = np.minimum(np.abs(indices), most).ravel()
    places = classes.ravel().astype(np.int64) * (most + 1) + sizes
    counts = np.bincount(places, minlength=spec.CLASSES * (most + 1))
    return counts.reshape(spec.CLASSES, most + 1).astype(np.float64)


def code_lengths(counts: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return bits of each magnitude, its sign included, under the shares of a class.

    Large magnitudes are rare, so neighbors share their counts in bins that grow.
    """
    smooth = counts + SMOOTHING
    edges = _edges(counts.shape[1])
    for start, stop in pairwise(edges):
        smooth[:, start:stop] = smooth[:, start:stop].mean(axis=1, keepdims=True)
    bits = -np.log2(smooth / smooth.sum(axis=1, keepdims=True))
    bits[:, 1:] += 1  # the sign
    rounded: NDArray[np.float32] = bits.astype(np.float32)
    return rounded


def entropy_bits(counts: NDArray[np.float64]) -> float:
    """Return the ideal cost in bits of symbols with these counts; one table a row."""
    totals = counts.sum(axis=-1, keepdims=True)
    shares = np.divide(counts, totals, where=totals > 0, out=np.ones_like(counts))
    return float(-(counts * np.log2(np.where(shares > 0, shares, 1))).sum())


def _edges(size: int) -> list[int]:
    edges = list(range(min(EXACT_SIZES, size)))
    at, width = len(edges), 1
    while at < size:
        edges.append(at)
        width = max(1, at // 4)
        at += width
    return [*edges, size]
