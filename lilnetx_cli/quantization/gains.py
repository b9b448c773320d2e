"""Finer steps for tensors that the common one would erase, and what outliers are.

One step for all tensors gives the least squared error over all of them. But a tensor
far smaller than the rest would round to nothing, and its layer with it; and beside one
huge weight all others are small. Neither is what anybody means by an SNR.
"""

import numpy as np

from lilnetx_cli.quantization.cells import Floats

USUAL_SHARE = 0.999  # of the values of a tensor, by size, which say how large it is
OUTLIER = 5000.0  # times the size of its tensor, and a value is an outlier
MOST_GAIN = 2.0**100  # beyond it are the denormal numbers of a dead layer
LEAST_SIZE = 0.5  # of the RMS of all weights: smaller tensors get finer steps
# The same where one value of a tensor is as many times that RMS: a step much finer has
# more multiples in such a tensor than a file can hold.
LEAST_WITH_OUTLIERS, LARGE = 0.1, 500.0


def usual_size(values: Floats) -> float:
    """Return the RMS of a tensor without its largest values."""
    flat = np.abs(values.reshape(-1))
    if not flat.size:
        return 0.0
    kept = max(1, int(USUAL_SHARE * flat.size))
    usual = np.partition(flat, kept - 1)[:kept]
    size = float(np.sqrt(np.square(usual, dtype=np.float64).mean()))
    return size or float(flat.max(initial=0))


def outlier_energy(values: Floats, size: float) -> float:
    """Return the sum of the squares of values beyond OUTLIER times a size."""
    flat = values.reshape(-1)
    large = flat[np.abs(flat) > OUTLIER * size]
    return float(np.square(large, dtype=np.float64).sum())


def gain_of(values: Floats, size: float, all_sizes: float) -> float:
    """Return how much finer the step of a tensor is, given the RMS of all weights.

    `size` is that of the tensor.
    """
    if not size:
        return 1.0
    largest = float(np.abs(values).max())
    gain = min(LEAST_SIZE * all_sizes / size, LARGE * all_sizes / largest)
    least = LEAST_WITH_OUTLIERS * all_sizes / size
    return min(max(1.0, gain, least), MOST_GAIN)
