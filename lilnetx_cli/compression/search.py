"""Find the step of an SNR or of a size: secants, first on a part of the weights."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np

from lilnetx_cli.compression.tries import Tries
from lilnetx_cli.errors import LilnetxError, UsageError
from lilnetx_cli.quantization.cells import Cells, Weight, lay_out
from lilnetx_cli.quantization.rounding import Rounded, finest_step

SNR_SLACK = 0.03  # dB above what was asked
SIZE_SLACK = 0.01  # of the size, below what was asked
SAMPLE_CELLS = 2_000_000  # more weights than this are searched by a part of the rows
MOST_TRIES = 12
FIRST_SNR = 30.0  # dB, where the search for a size starts
LEAST_MOVE = 1e-4  # of the step
TELLING_MOVE = 0.02  # of the step; what less of it does to the SNR is hidden by noise
LARGEST_MOVE = 2.0  # of a search for a size, in logarithms of the step
FLATTEST = -0.05  # the least that a size is expected to fall, in logarithms


def first_step(cells: Cells, snr: float) -> float:
    """Return the step that gives an SNR at high rates: error is 0.26 step squared."""
    count = sum(weight.values.size for weight in cells.weights)
    step = np.sqrt(cells.energy / max(count, 1) / 10 ** (snr / 10) / 0.26)
    return max(float(step), finest_step(cells))


def sample(cells: Cells) -> Cells:
    """Return a part of the rows of every weight, or all where there are few."""
    count = sum(weight.values.size for weight in cells.weights)
    stride = -(-count // SAMPLE_CELLS)
    if stride == 1:
        return cells
    return lay_out([_part(weight, stride) for weight in cells.weights])


def _part(weight: Weight, stride: int) -> Weight:
    rows, columns, length = weight.grid
    kept = weight.values.reshape(rows, columns, length)[::stride]
    share = len(kept) / max(rows, 1)
    return replace(
        weight,
        grid=(len(kept), columns, length),
        values=kept.reshape(-1, length),
        outliers=share * weight.outliers,
    )


def find_snr(
    cells: Cells, snr: float, tries: Tries, last: Rounded | None = None
) -> Rounded:
    """Return the coarsest rounding found that is no worse than an SNR in dB.

    The search goes on from the last one, for an SNR near that.
    """
    if last is not None:
        return _follow(cells, last.step * 10 ** ((last.snr - snr) / 20), snr, tries)
    step = first_step(cells, snr)
    few = sample(cells)
    if few is not cells:
        with suppress(LilnetxError):  # a part that is not a sample: zeros, or outliers
            step = _follow(few, step, snr, tries).step
    return _follow(cells, step, snr, tries)


def _follow(cells: Cells, step: float, snr: float, tries: Tries) -> Rounded:
    """Move the step until rounding gives an SNR or a little more."""
    best: Rounded | None = None
    found: Rounded | None = None
    last: tuple[float, float] | None = None  # step and SNR
    slope = 20.0  # dB for a step ten times as fine
    for attempt in range(2 * MOST_TRIES):
        found = tries.round(cells, step, found)
        tries.expect(cells, abs(found.snr - snr - SNR_SLACK / 2), SNR_SLACK / 2)
        if found.snr >= snr and (best is None or step > best.step):
            best = found
        enough = attempt >= MOST_TRIES or found.snr <= snr + SNR_SLACK
        if best is not None and enough and found.snr >= snr:
            break
        if last is not None and abs(step / last[0] - 1) > TELLING_MOVE:
            measured = (last[1] - found.snr) / np.log10(step / last[0])
            slope = float(np.clip(measured, 5, 40))
        last = step, found.snr
        step *= 10 ** ((found.snr - snr - SNR_SLACK / 2) / slope)
        if step < finest_step(cells):
            raise UsageError(f"an SNR of {snr:g} dB is too fine: use --lossless")
    if best is None:
        raise LilnetxError(f"an SNR of {snr} dB was not reached")
    return best


def find_size(
    cells: Cells,
    size_of: Callable[[Rounded], int],
    size: int,
    tries: Tries,
) -> Rounded | None:
    """Return the finest rounding found whose file takes at most size bytes.

    Secants through the logarithms of step and size lead there: the first assumes that
    a step half as large costs a bit a weight, which sparse networks do not pay. A guess
    outside of what is known already is replaced by the middle, and so is one where two
    tries did not halve that; while every file is too large, steps at least double. None
    where no step gives so small a file.
    """
    count = sum(weight.values.size for weight in cells.weights)
    low, high = 0.0, float("inf")  # steps of files too large, and small enough
    step, best = first_step(cells, FIRST_SNR), None
    last: tuple[float, float] | None = None  # logarithms of step and size
    widths = [np.inf, np.inf]  # of what is known, in logarithms
    for _ in range(4 * MOST_TRIES):
        rounded = tries.round(cells, step)
        found = size_of(rounded)
        tries.expect(cells, abs(found / size - 1 + SIZE_SLACK / 2), SIZE_SLACK / 2)
        if found <= size:
            high, best = step, rounded
            if found >= size * (1 - SIZE_SLACK):
                break
        else:
            low = step
        widths.append(np.log(high / low) if low and np.isfinite(high) else np.inf)
        here = float(np.log(step)), float(np.log(max(found, 1)))
        slope = _slope(last, here, -count / (8 * np.log(2) * max(found, 1)))
        last = here
        move = (np.log((1 - SIZE_SLACK / 2) * size) - here[1]) / slope
        guess = step * float(np.exp(_bounded(move)))
        slow = np.isfinite(widths[-3]) and widths[-1] > widths[-3] / 2
        if np.isinf(high):
            guess = max(guess, 2 * step)
        elif slow or not low < guess < high:
            guess = float(np.sqrt(max(low, high / 64) * high))
        guess = max(guess, finest_step(cells))
        if widths[-1] < LEAST_MOVE or guess == step:
            break
        step = guess
    return best


def _bounded(move: float) -> float:
    """Return a move that is not too large, and large enough to tell a slope."""
    size = min(max(abs(move), 1.01 * TELLING_MOVE), LARGEST_MOVE)
    return float(np.copysign(size, move))


def _slope(
    last: tuple[float, float] | None, here: tuple[float, float], usual: float
) -> float:
    """Return how the logarithm of a size changes with that of the step, below 0."""
    if last is None or abs(here[0] - last[0]) < TELLING_MOVE:
        return min(usual, FLATTEST)
    return min((here[1] - last[1]) / (here[0] - last[0]), FLATTEST)
