"""Decoders that are a few Householder reflections: an orthonormal basis in R * L bytes.

The rows of a dense weight often share a few directions, and a reflection puts such a
direction into one column. Its vector is of integers of 8 bits, so that the factor
2 / (u . u) has one value in float32 and no more numbers are needed. A decoder with R
reflections is a matrix (R + 1, L): the step in all of row 0, then the vectors. Source:
Householder 1958.

Legend: N slices, L weights in a slice, R reflections.
"""

import numpy as np
from numpy.typing import NDArray

from lnx import spec

Floats = NDArray[np.float32]


def is_reflections(decoder: Floats) -> bool:
    """Tell whether a decoder has this form rather than being a square matrix."""
    rows, columns = decoder.shape
    return bool(rows != columns)


def make_reflections(step: np.float32, vectors: NDArray[np.int8]) -> Floats:
    """Return the decoder, (R + 1, L), of a step and of vectors, (R, L)."""
    first = np.full((1, vectors.shape[1]), step, np.float32)
    return np.concatenate((first, vectors.astype(np.float32)))


def are_legal(decoder: Floats) -> bool:
    """Tell whether files hold a decoder that has this form."""
    count, length = decoder.shape[0] - 1, decoder.shape[1]
    if not 1 <= count <= spec.MAX_REFLECTIONS or not count + 1 < length:
        return False
    vectors = decoder[1:]
    bytes_each = (vectors == np.rint(vectors)) & (vectors >= -128) & (vectors <= 127)
    used = bool((vectors != 0).any(axis=1).all())
    return used and bool(bytes_each.all() and (decoder[0] == decoder[0, 0]).all())


def reflect(columns: Floats, vectors: Floats) -> None:
    """Apply reflections to slices that are columns, (L, N), in place, in float32.

    Vectors are (R, L), the first one first. Sums run from column 0 to column L - 1,
    every product, sum and quotient rounded on its own.
    """
    product = np.empty_like(columns)
    for vector in vectors:
        squares = np.square(vector, dtype=np.float64).sum()  # an integer, at most 2**24
        factor = np.float32(2) / np.float32(squares)
        total = columns[0] * vector[0]  # (N,)
        np.multiply(columns, vector[:, None], out=product)
        for row in product[1:]:
            np.add(total, row, out=total)
        total *= factor
        np.multiply(total, vector[:, None], out=product)
        np.subtract(columns, product, out=columns)
