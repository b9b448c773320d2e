"""Trellis-coded integers: a parity in the stream picks the quantizer of the next cell.

Two scalar quantizers share one step: the first holds its even multiples, the second its
odd multiples and zero. A machine of 16 states, driven by the parities of the coded
indices, says which of them a cell uses (dependent quantization, ISO/IEC 15938-17; the
machine is the code of Ungerboeck 1982 with parity checks 23 and 04).

The state is four bits (a, b, c, d); a picks the quantizer, and index k moves the
machine to (a ^ b, c ^ parity(k), d, a). So a(t) ^ a(t-1) ^ a(t-4) = parity(t-2). As
polynomials in the delay D, 1 + D + D^4 times the one with the powers DELAYS is
1 + D^15: eight parities added, and these sums added up at every 15th place, give a for
all cells of a tensor at once.
"""

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.dtypes import Symbols, shortest_type

DELAYS = (0, 1, 2, 3, 5, 7, 8, 11)  # of the parities that are added
PERIOD = 15


def expand(indices: Symbols) -> Symbols:
    """Return the multiples of the step that coded indices stand for; any shape.

    Cells are taken in C order, in segments of TRELLIS_SEGMENT, each from state 0.
    Index 0 is 0 in both quantizers, so zeros stay zeros.
    """
    flat = indices.reshape(-1)
    second = second_quantizer(flat)
    most = 2 * max(abs(int(flat.min())), abs(int(flat.max()))) if flat.size else 0
    values = flat.astype(shortest_type(-max(most, 1), most))
    values *= 2
    values -= np.sign(values) * second  # 2k, or 2k - 1 away from zero
    return values.reshape(indices.shape)


def legal_indices(indices: Symbols) -> bool:
    """Tell whether all indices are so small that what they stand for fits 32 bits."""
    if indices.dtype.itemsize < 4 or not indices.size:
        return True
    most = spec.TRELLIS_INDICES
    return -most < int(indices.min()) and int(indices.max()) < most


def second_quantizer(indices: Symbols) -> NDArray[np.int8]:
    """Tell which cells use the second quantizer, as 0 and 1; (N,) -> (N,)."""
    segment = spec.TRELLIS_SEGMENT
    rows = -(-len(indices) // segment)
    parity = np.zeros((rows, segment), np.int8)
    parity.reshape(-1)[: len(indices)] = indices & 1
    turns = -(-segment // PERIOD)
    sums = np.zeros((rows, turns, PERIOD), np.int8)
    flat = sums.reshape(rows, turns * PERIOD)[:, :segment]
    for delay in DELAYS:
        flat[:, delay:] ^= parity[:, : segment - delay]
    np.bitwise_xor.accumulate(sums, axis=1, out=sums)
    chosen = np.zeros_like(parity)
    chosen[:, 2:] = flat[:, :-2]
    return chosen.reshape(-1)[: len(indices)]
