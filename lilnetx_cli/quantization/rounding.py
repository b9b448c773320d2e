"""Rounding that knows the price: the indices of all weights for one step.

One step serves all tensors, which is what the least squared error over all of them
wants; what a cell costs follows from its scale class. Prices and indices are found in
turns: the first prices are those of plain rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lilnetx_cli.quantization.cells import Cells, Floats, Indices
from lilnetx_cli.quantization.rates import (
    MOST_SIZES,
    code_lengths,
    count_sizes,
    entropy_bits,
)
from lilnetx_cli.quantization.trellis import choose_indices
from lnx import spec
from lnx.tensors.trellis import expand
from lnx.write.fit_scales import fit_scales

# Of squared error, per bit: the slope of the rate-distortion curve at high rates,
# dD/dR = -2 ln(2) D (Gersho and Gray 1992, section 8.3).
SLOPE = 2 * float(np.log(2))
MOST_DECIBELS = 300.0  # float64 tells no more
NEAR = 1.2  # times another step, and its indices say what this one's will cost
FIRST_ERROR = 0.25  # mean squared error in steps, before there is a measurement


@dataclass(frozen=True, eq=False)
class Rounded:
    """What one step gave.

    Attributes:
        step: distance of the multiples that the two quantizers share.
        indices: (S, T) int32, as `Cells.segments`.
        snr: of all weights together, in dB, outliers left out of the signal.
        bits: ideal cost of the indices, without scales and tables.
        error: mean squared error in squared steps, gains not taken off.
    """

    step: float
    indices: Indices
    snr: float
    bits: float
    error: float = FIRST_ERROR


Tick = Callable[[float], object]  # takes the part of the work that is done


def _no_tick(part: float) -> None:
    del part


def round_cells(
    cells: Cells, step: float, last: Rounded | None = None, tick: Tick = _no_tick
) -> Rounded:
    """Choose the indices of all cells for a step, which must be at least finest_step.

    A cell's own step is the common one divided by its gain. Prices come from `last`,
    what a step near this one gave, and otherwise from a first pass. `tick` is told now
    and then which part is done.
    """
    values = cells.segments / np.float32(step)
    near = last is not None and 1 / NEAR < step / last.step < NEAR
    if last is not None and near:
        indices, error = last.indices, last.error
    else:
        indices, error = np.rint(values * 0.5).astype(np.int32), FIRST_ERROR
    classes = classes_of(cells, indices)
    passes = 1 if near else 2
    for turn in range(passes):
        most = min(MOST_SIZES, int(np.abs(indices).max(initial=0)) + 2)
        bits = code_lengths(count_sizes(indices, classes, most))
        prices = bits * np.float32(SLOPE * error)
        indices = choose_indices(
            values, classes, prices, tick=partial(_tick_of_turn, tick, turn, passes)
        )
        error = max(_squares(values - expand(indices)) / values.size, 1e-12)
        classes = classes_of(cells, indices)
    most = int(np.abs(indices).max(initial=0))
    counts = count_sizes(indices, classes, min(MOST_SIZES, most))
    signs = float(np.count_nonzero(indices))
    lost = (values - expand(indices)) * (np.float32(step) / cells.gains)
    snr = decibels(cells.energy, _squares(lost))
    return Rounded(step, indices, snr, entropy_bits(counts) + signs, error)


def decibels(signal: float, error: float) -> float:
    """Return an SNR in dB, at most MOST_DECIBELS; of no signal, minus that."""
    if signal <= 0:
        return -MOST_DECIBELS
    least = signal * 10 ** (-MOST_DECIBELS / 10)
    return 10 * float(np.log10(signal / max(error, least)))


def _tick_of_turn(tick: Tick, turn: int, turns: int, part: float) -> None:
    tick((turn + part) / turns)


def finest_step(cells: Cells) -> float:
    """Return the least step at which every index fits 32 bits with room to spare."""
    largest = float(np.abs(cells.segments).max(initial=0))
    return max(largest * 2.0**-28, 2.0**-120)


def classes_of(cells: Cells, indices: Indices) -> NDArray[np.uint8]:
    """Return the scale class of every cell, (S, T), about as the writer finds them."""
    classes = np.zeros(cells.segments.shape, np.uint8)
    flat = classes.reshape(-1)
    parts = zip(cells.weights, cells.starts, cells.split(indices), strict=True)
    for weight, start, symbols in parts:
        scales = fit_scales(symbols, weight.grid)
        at = start * spec.TRELLIS_SEGMENT
        flat[at : at + symbols.size] = scales.classes(0, len(symbols)).reshape(-1)
    return classes


def _squares(values: Floats) -> float:
    """Return the sum of squares in float64, a block at a time."""
    flat = values.reshape(-1)
    return sum(
        float(np.square(flat[start : start + (1 << 20)], dtype=np.float64).sum())
        for start in range(0, flat.size, 1 << 20)
    )
