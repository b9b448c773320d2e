"""Trellis-coded integers: a parity in the stream picks the quantizer of the next cell.

Two scalar quantizers share one step: the first holds its even multiples, the second its
odd multiples and zero. A machine of 64 states, driven by the parities of the coded
indices, says which of them a cell uses (dependent quantization, ISO/IEC 15938-17; the
machine is the code of Ungerboeck 1982 with parity checks 103 and 024).

The state is the last six bits (a, b, c, d, e, f) of a sequence; b ^ d picks the
quantizer, and index k puts a ^ f ^ parity(k) before them. So the sequence w, in powers
of the delay D, is the parities over 1 + D + D^6, and the quantizers are w times
D^2 + D^4. The square of 1 + D + D^6 is 1 + D^2 + D^12, and so on, until both delays
are longer than a segment, which leaves 1. So the parities times the polynomial, its
square, the square of that and so on give w for all cells at once.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.dtypes import Symbols, shortest_type

FEEDBACK = (1, 6)
CHOICE = (2, 4)  # delays of the bits that pick the quantizer


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
    bits = np.zeros((rows, segment), np.int8)
    bits.reshape(-1)[: len(indices)] = indices & 1
    last = np.empty_like(bits)
    power = 1
    while power * min(FEEDBACK) < segment:
        last[:] = bits
        _add(bits, last, [power * delay for delay in FEEDBACK])
        power *= 2
    last[:] = 0
    _add(last, bits, CHOICE)
    return last.reshape(-1)[: len(indices)]


def _add(sums: NDArray[np.int8], bits: NDArray[np.int8], delays: Sequence[int]) -> None:
    """Add rows of bits behind some delays, modulo 2; both are (R, T)."""
    for delay in delays:
        if delay < bits.shape[1]:
            sums[:, delay:] ^= bits[:, :-delay]
