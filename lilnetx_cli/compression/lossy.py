"""A container of exact tensors -> one whose weights are quantized."""

from dataclasses import dataclass

import numpy as np

import lnx
from lilnetx_cli.compression.assembly import assemble
from lilnetx_cli.compression.dense import measure_snr
from lilnetx_cli.compression.problem import Problem, pose
from lilnetx_cli.compression.search import find_size, find_snr
from lilnetx_cli.compression.selection import extreme_names, weight_names
from lilnetx_cli.compression.targets import Target
from lilnetx_cli.compression.tries import Progress, Tries
from lilnetx_cli.errors import UsageError
from lilnetx_cli.quantization.rounding import Rounded

MOST_CORRECTIONS = 4


@dataclass(frozen=True, eq=False)
class Lossy:
    """A container that stands for another, and how well.

    Attributes:
        container: what to save.
        snr: over all finite float tensors of two or more dimensions, in dB; None where
            nothing of them was lost.
        lossless: whether every bit of every tensor is kept.
        exact: names of the weights that are kept exactly because they hold NaN,
            infinity, or numbers near the limit of their type.
    """

    container: lnx.Container
    snr: float | None
    lossless: bool
    exact: tuple[str, ...]


def compress_container(
    container: lnx.Container,
    target: Target,
    *,
    exact_side: bool = False,
    progress: Progress | None = None,
) -> Lossy:
    """Quantize the weights of a container that holds exact tensors.

    `progress` is told how far the search is. A size that lossless coding meets loses
    nothing. Raises UsageError for a size or an SNR that cannot be had.
    """
    extreme = extreme_names(container)
    names = weight_names(container)
    if target.size is not None and (not names or fits(container, target.size)):
        return lossless(container, target.size, extreme)
    if not names:
        return Lossy(container, None, True, extreme)
    problem = pose(container, names, target, exact_side)
    tries = Tries(progress, problem.cells)
    if target.size is not None:
        rounded = _for_size(problem, target.size, tries)
    else:
        rounded = _for_snr(problem, float(target.snr or 0), tries)
    made = assemble(problem, rounded)
    return Lossy(made, measure_snr(container, made), False, extreme)


def fits(container: lnx.Container, size: int) -> bool:
    """Tell whether a file of a container takes at most size bytes, to the byte."""
    if lnx.estimate(container).file > 1.05 * size:
        return False
    return len(lnx.dumps(container)) <= size


def lossless(container: lnx.Container, size: int, extreme: tuple[str, ...]) -> Lossy:
    """Return a container as it is; raises UsageError where it takes more bytes."""
    if not fits(container, size):
        raise too_small(size, container)
    return Lossy(container, None, True, extreme)


def too_small(size: int, smallest: lnx.Container) -> UsageError:
    """Return what to raise for a size that even the smallest file is above."""
    least = len(lnx.dumps(smallest))
    return UsageError(
        f"a file of {size:,} bytes cannot be had: the smallest takes {least:,}"
    )


def _for_snr(problem: Problem, snr: float, tries: Tries) -> Rounded:
    """Return the coarsest rounding of an SNR; raises UsageError for too fine a one."""
    found = find_snr(problem.cells, snr, tries)
    try:
        lnx.estimate(assemble(problem, found))
    except lnx.ContentError as error:  # more symbols than tables hold
        raise UsageError(f"an SNR of {snr:g} dB is too fine: use --lossless") from error
    return found


def _for_size(problem: Problem, size: int, tries: Tries) -> Rounded:
    """Return the finest rounding whose file takes at most size bytes."""
    cells = problem.cells
    zero = Rounded(1.0, np.zeros(cells.segments.shape, np.int32), 0.0, 0.0)
    smallest = assemble(problem, zero)
    if not fits(smallest, size):
        raise too_small(size, smallest)

    def size_of(rounded: Rounded) -> int:
        try:
            return lnx.estimate(assemble(problem, rounded)).file
        except lnx.ContentError:  # so fine that tables do not hold the symbols
            return size + 1

    limit = size
    for _ in range(MOST_CORRECTIONS):
        found = find_size(cells, size_of, limit, tries) or zero
        excess = len(lnx.dumps(assemble(problem, found))) - size
        if excess <= 0:
            return found
        limit -= excess + 1  # streams end in whole words, which estimates do not know
    return zero
