"""Slices of integers -> weights, in the one order that makes them equal everywhere.

Weight j of a slice q under decoder S is 0 + q[0] S[0, j] + q[1] S[1, j] + ..., added
from left to right in float32, each product and each sum rounded on its own
(`formats/SPEC.md`, Reconstruction). Starting from +0, the product of a latent that is
zero changes nothing: it can be left out, and no weight is -0.

Legend: N slices, L weights in a slice.
"""

import numpy as np
from numpy.typing import NDArray

from lnx.dtypes import Symbols
from lnx.tensors.reflections import is_reflections, reflect
from lnx.tensors.slices import BLOCK_CELLS

RANKED_CELLS = 1 << 16  # a block of long slices, which one latent of each fills
LONG_ROWS = 32  # from this L on, it pays to leave out single latents

Weights = NDArray[np.float32]


def decode_rows(symbols: Symbols, decoder: Weights) -> Weights:
    """Return the weights of slices, (N, L) in and out.

    The decoder is (L, L), or (1, 1) for a scalar, or of reflections. Time grows with
    the number of non-zero latents times L, for slices that are not short, and with
    N * L.
    """
    length = symbols.shape[1]
    weights = np.empty(symbols.shape, np.float32)
    step = max(1, (RANKED_CELLS if length >= LONG_ROWS else BLOCK_CELLS) // length)
    for start in range(0, len(symbols), step):
        rows, place = symbols[start : start + step], weights[start : start + step]
        if is_reflections(decoder):
            place[:] = _reflected(rows, decoder)
        elif decoder.size == 1:
            np.multiply(rows.astype(np.float32), decoder.reshape(()), out=place)
            np.add(place, 0, out=place)
        elif length >= LONG_ROWS and 2 * np.count_nonzero(rows) <= rows.size:
            _add_ranked(rows, decoder, place)
        else:
            _add_columns(rows, decoder, place)
    return weights


def _reflected(rows: Symbols, decoder: Weights) -> Weights:
    """Return the weights of a few slices; the step comes last."""
    columns = np.ascontiguousarray(rows.T, np.float32)  # (L, N)
    reflect(columns, decoder[1:])
    np.multiply(columns, decoder[0, 0], out=columns)
    np.add(columns, 0, out=columns)
    return columns.T


def _add_columns(rows: Symbols, decoder: Weights, place: Weights) -> None:
    """Decode a few slices, a latent of all of them at a time; zero slices left out."""
    columns = np.ascontiguousarray(rows.T)  # (L, N)
    alive = columns.any(axis=0)
    if alive.all():
        place[:] = _products(columns, decoder)
        return
    place[:] = 0
    place[alive] = _products(columns[:, alive], decoder)


def _products(columns: Symbols, decoder: Weights) -> Weights:
    """Return the weights of slices that are columns: (L, N) -> (N, L)."""
    latents = columns.astype(np.float32)
    total: Weights = decoder[0][:, None] * latents[0]
    np.add(total, 0, out=total)
    product = np.empty_like(total)
    for k in range(1, len(decoder)):
        np.multiply(decoder[k][:, None], latents[k], out=product)
        np.add(total, product, out=total)
    return total.T


def _add_ranked(rows: Symbols, decoder: Weights, place: Weights) -> None:
    """Decode a few slices, one non-zero latent of each at a time.

    Slices with the most come first, so that those with a t-th one are the first few.
    """
    counts = np.count_nonzero(rows, axis=1)  # (N,)
    order = np.argsort(-counts, kind="stable")
    sorted_rows, counts = rows[order], counts[order]
    owners, places = np.nonzero(sorted_rows)
    latents = sorted_rows[owners, places].astype(np.float32)[:, None]
    starts = np.cumsum(counts) - counts
    total = np.zeros(rows.shape, np.float32)  # (N, L)
    room = np.empty(rows.shape, np.float32)
    for rank in range(int(counts[0])):
        having = int(np.searchsorted(-counts, -rank))
        mine = starts[:having] + rank
        product = room[:having]
        np.take(decoder, places[mine], axis=0, out=product, mode="clip")
        np.multiply(product, latents[mine], out=product)
        np.add(total[:having], product, out=total[:having])
    place[order] = total
