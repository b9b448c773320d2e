"""Matrices whose entries are multiples of one step, from -127 to 127.

The step is a bfloat16 number, so every multiple is a float32 number, exactly.
"""

import numpy as np
from numpy.typing import NDArray

MOST = 127
LEAST = 64  # of the largest multiple; with fewer, a finer step would do better


def to_multiples(
    matrix: NDArray[np.float32],
) -> tuple[np.float32, NDArray[np.int8]] | None:
    """Return step and multiples of a matrix, (n,); None where there is no such step."""
    flat = matrix.reshape(-1).astype(np.float64)
    top = float(np.abs(flat).max(initial=0))
    if not top or (np.signbit(flat) & (flat == 0)).any():
        return None
    for largest in range(MOST, LEAST - 1, -1):
        step = np.float32(top / largest)
        whole = np.rint(flat / float(step))
        if step.view(np.uint32) & 0xFFFF == 0 and bool((whole * step == flat).all()):
            return step, whole.astype(np.int8)
    return None


def from_multiples(
    step: np.float32, multiples: NDArray[np.int8]
) -> NDArray[np.float32]:
    """Return multiples times step; infinite where that is too large for float32."""
    with np.errstate(over="ignore"):
        return multiples.astype(np.float32) * step
