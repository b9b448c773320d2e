"""Cosine decoders: matrices of which L + 2 numbers say all.

Entry (k, j) is cos((2j + 1) k pi / 2L) up to a factor; row 0 has a factor of its own.
The numbers themselves are stored, so no reader computes a cosine: number m stands
wherever the angle folds to m pi / 2L, with a minus where its cosine is negative.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def cosine_matrix(numbers: Floats) -> Floats:
    """Return the (L, L) matrix of L + 2 numbers: row 0, then angles 0 to L."""
    size = len(numbers) - 2
    angle, negative = _folded(size)
    signed = np.where(negative, -numbers[1:][angle], numbers[1:][angle])
    signed[0] = numbers[0]
    return np.ascontiguousarray(signed, np.float32)


def cosine_numbers(matrix: Floats) -> Floats | None:
    """Return the numbers that a matrix was made from, or None for any other matrix."""
    size = len(matrix)
    if size < 2:
        return None
    angle, negative = _folded(size)
    numbers = np.zeros(size + 2, np.float32)
    numbers[0] = matrix[0, 0]
    numbers[1:][angle[1:]] = np.where(negative[1:], -matrix[1:], matrix[1:])
    numbers += np.float32(0)  # no minus zero
    same = cosine_matrix(numbers).tobytes() == np.ascontiguousarray(matrix).tobytes()
    return numbers if same else None


@lru_cache(8)
def _folded(size: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the angle of each entry between 0 and pi / 2, and its cosine's sign."""
    order = np.arange(size)
    turn = np.outer(order, 2 * order + 1) % (4 * size)  # of 2 pi = 4 L
    turn = np.minimum(turn, 4 * size - turn)  # cos(-x) = cos(x)
    negative = turn > size
    return np.where(negative, 2 * size - turn, turn), negative
