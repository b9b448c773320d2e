"""A container and its network, with inputs at hand -> a much smaller container."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

import lnx
from lilnetx_cli.calls import Call
from lilnetx_cli.compression.calibrated import (
    study,
)
from lilnetx_cli.compression.dense import measure_snr
from lilnetx_cli.compression.error_search import ErrorSearch, Judge, Try
from lilnetx_cli.compression.finishing import (
    differ,
    names_of_norms,
    output_matrix,
    output_snr,
)
from lilnetx_cli.compression.lossy import Lossy, fits, lossless
from lilnetx_cli.compression.running import check_runs
from lilnetx_cli.compression.selection import extreme_names, weight_names
from lilnetx_cli.compression.targets import Target
from lilnetx_cli.compression.tries import Progress
from lnx.tensors.check import check_content


@dataclass(frozen=True, eq=False)
class WithInputs:
    """What came out, and what it does to the outputs on the inputs.

    Attributes:
        lossy: as without inputs.
        output_snr: in dB; None where the outputs are not finite floats of one size, or
            the same for all inputs.
        accuracy: of the dense network and of this one, on examples that the search did
            not use; None without labels.
    """

    lossy: Lossy
    output_snr: float | None
    accuracy: tuple[float, float] | None


def compress_with_inputs(
    container: lnx.Container,
    network: nn.Module,
    calls: Sequence[Call],
    target: Target,
    *,
    recalibrate: bool = True,
    exact_side: bool = False,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> WithInputs:
    """Quantize the weights of a container by what its network computes.

    `network` holds the tensors of the container, in evaluation mode. Raises UsageError
    for a size, an SNR or an accuracy that cannot be had, InputError for inputs that the
    network does not take, and ContentError for what no file can store.
    """
    check_content(container)  # not after a search of minutes
    check_runs(network, calls)
    extreme, norms = extreme_names(container), names_of_norms(network)
    names = [name for name in weight_names(container) if name not in norms]
    if target.size is not None and (not names or fits(container, target.size)):
        return WithInputs(lossless(container, target.size, extreme), None, None)
    if not names:
        return WithInputs(Lossy(container, None, True, extreme), None, None)
    told = _told(progress)
    follow = recalibrate and not exact_side  # statistics of batch norms are kept, too
    known = study(network, names, calls, recalibrate=follow, told=told)
    search = ErrorSearch(container, known, exact_side, told)
    found = _found(search, target, judge)
    made, rounded = found.finished.container, found.finished.network
    before, after = output_matrix(network, calls), output_matrix(rounded, calls)
    close = None
    if before is not None and after is not None and differ(before):
        close = output_snr(before, after)
    accuracy = None if judge is None else (judge.check(network), judge.check(rounded))
    lossy = Lossy(made, measure_snr(container, made), False, extreme)
    return WithInputs(lossy, close, accuracy)


def _found(search: ErrorSearch, target: Target, judge: Judge | None) -> Try:
    if target.size is not None:
        return search.for_size(target.size)
    if target.drop is not None and judge is not None:
        return search.for_accuracy(target.drop, judge)
    if target.snr is not None:
        return search.for_decibels(target.snr, search.weights_snr)
    return search.for_decibels(float(target.output_snr or 0), search.outputs_snr)


def _told(progress: Progress | None) -> Callable[[int, int], object]:
    """Return what counts passes over the layers as tries."""
    done = 0.0

    def tell(stage: int, stages: int) -> None:
        nonlocal done
        done += 1 / stages
        if progress is not None:
            progress(done, total=max(4.0, done + 1 - stage / stages))

    return tell
