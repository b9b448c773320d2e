"""A container of exact tensors -> one whose weights are quantized."""

from dataclasses import dataclass

import numpy as np

import lnx
from lilnetx_cli.compression.assembly import assemble
from lilnetx_cli.compression.dense import measure_snr
from lilnetx_cli.compression.problem import Problem, pose
from lilnetx_cli.compression.search import SNR_SLACK, find_size, find_snr
from lilnetx_cli.compression.selection import extreme_names, weight_names
from lilnetx_cli.compression.targets import Target
from lilnetx_cli.compression.tries import Progress, Tries
from lilnetx_cli.errors import UsageError
from lilnetx_cli.quantization.rounding import Rounded
from lnx.tensors.check import check_content

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
    nothing. Raises UsageError for a size or an SNR that cannot be had, and ContentError
    for what no file can store.
    """
    check_content(container)  # not after a search of minutes
    extreme = extreme_names(container)
    names = weight_names(container)
    if target.size is not None and (not names or fits(container, target.size)):
        return lossless(container, target.size, extreme)
    if not names:
        return Lossy(container, None, True, extreme)
    problem = pose(container, names, target, exact_side)
    tries = Tries(progress, problem.cells)
    if target.size is not None:
        made = assemble(problem, _for_size(problem, target.size, tries))
    else:
        made = _for_snr(problem, float(target.snr or 0), tries)
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
        f"a file of {size:,} bytes is out of reach: the smallest takes {least:,}"
    )


def _for_snr(problem: Problem, snr: float, tries: Tries) -> lnx.Container:
    """Return the coarsest rounding of an SNR; raises UsageError for too fine a one.

    The search does not see that weights are rounded to their type, such as bfloat16,
    which costs some hundredths of a dB: it then aims higher by a little more.
    """
    aim, found = snr, None
    for _ in range(2 * MOST_CORRECTIONS):
        found = find_snr(problem.cells, aim, tries, found)
        made = assemble(problem, found)
        _check_symbols(problem, made, snr)
        reached = measure_snr(problem.container, made)
        if reached is None or reached >= snr:
            return made
        aim += snr - reached + SNR_SLACK / 4
    raise _too_fine(snr)


def _check_symbols(problem: Problem, made: lnx.Container, snr: float) -> None:
    """Raise UsageError where tables do not hold the symbols of a rounding.

    What no rounding of these tensors can be stored for is not of its SNR: ContentError.
    """
    try:
        lnx.estimate(made)
    except lnx.ContentError as error:
        lnx.estimate(assemble(problem, _zero(problem)))
        raise _too_fine(snr) from error


def _too_fine(snr: float) -> UsageError:
    return UsageError(f"an SNR of {snr:g} dB is too fine: use --lossless")


def _zero(problem: Problem) -> Rounded:
    """Return the coarsest rounding of all."""
    return Rounded(1.0, np.zeros(problem.cells.segments.shape, np.int32), 0.0, 0.0)


def _for_size(problem: Problem, size: int, tries: Tries) -> Rounded:
    """Return the finest rounding whose file takes at most size bytes."""
    cells, zero = problem.cells, _zero(problem)
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
