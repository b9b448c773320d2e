"""Which slices and channels of a latent tensor are zero.

Legend: N slices, L weights in a slice; O and I are the first two dimensions.
"""

import numpy as np
from numpy.typing import NDArray

from lnx.dtypes import Symbols
from lnx.tensors.container import elements

LONG_ROWS = 64
BLOCK_CELLS = 1 << 15  # what a processor's cache holds with its temporaries


def alive_rows(symbols: Symbols) -> NDArray[np.bool_]:
    """Say which slices have a non-zero latent; (N, L) -> (N,)."""
    length = symbols.shape[1]
    if length >= LONG_ROWS:
        return np.asarray(symbols.any(axis=1))
    alive = np.empty(len(symbols), np.bool_)
    step = BLOCK_CELLS // length
    for start in range(0, len(symbols), step):  # turned around, short rows are faster
        turned = np.ascontiguousarray(symbols[start : start + step].T)
        turned.any(axis=0, out=alive[start : start + step])
    return alive


def zero_channels(
    alive: NDArray[np.bool_], shape: tuple[int, ...], length: int
) -> tuple[int, int]:
    """Return how many indices of dimensions 0 and 1 hold nothing but zeros.

    `alive` says which slices of `length` elements have another value. Where slices do
    not lie within the first two dimensions there are no channels to count: (0, 0).
    """
    if len(shape) < 2 or not len(alive) or elements(shape[2:]) % length:
        return 0, 0
    grid = np.asarray(alive.reshape(*shape[:2], -1).any(axis=2))  # (O, I)
    rows, columns = (np.count_nonzero(grid.any(axis=axis)) for axis in (1, 0))
    return shape[0] - int(rows), shape[1] - int(columns)
