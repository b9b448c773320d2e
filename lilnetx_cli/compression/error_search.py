"""Try errors of rounding until a network has a size, an SNR or an accuracy."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import nn

import lnx
from lilnetx_cli.compression.calibrated import (
    Calibration,
    round_network,
    round_plainly,
)
from lilnetx_cli.compression.dense import measure_snr
from lilnetx_cli.compression.finishing import (
    Finished,
    assembled,
    differ,
    finish,
    output_matrix,
    output_snr,
)
from lilnetx_cli.compression.lossy import too_small
from lilnetx_cli.compression.search import SIZE_SLACK
from lilnetx_cli.errors import UsageError

FIRST_SHARE = 0.03  # of the energy of a middling layer's outputs, where searches start
MOST_ROUNDS = 6
MOST_RETREATS = 6
DECIBEL_SLACK = 0.3
DECIBELS = 10.0  # that an error ten times as large costs, at first sight
LEAST_ERROR, MOST_ERROR = 1e-14, 1e-1
RETREAT = 0.7  # of the error, where an accuracy was missed
LEAST_RATIO = 1.001  # of errors that are worth telling apart
FACTOR = 2.0  # between errors, until the accuracy lies between two


class Judge(Protocol):
    """Measures accuracy on labels, as a fraction."""

    def search(self, network: nn.Module) -> float:
        """Return the accuracy on the examples that a search may use."""

    def check(self, network: nn.Module) -> float:
        """Return the accuracy on examples that no search has used."""


@dataclass(frozen=True, eq=False)
class Try:
    """A network that was rounded with some error, and finished."""

    error: float
    finished: Finished
    size: int


class ErrorSearch:
    """Tries errors until a network has what is asked for."""

    def __init__(
        self,
        container: lnx.Container,
        known: Calibration,
        exact_side: bool,
        told: Callable[[int, int], object],
    ) -> None:
        self._container = container
        self._known = known
        self._exact_side = exact_side
        self._told = told
        self._outputs = output_matrix(known.network, known.calls)
        state = known.network.state_dict()
        counts = [state[name].numel() for name in known.names]
        self._first = FIRST_SHARE / float(np.exp(np.mean(np.log(counts))))

    def round(self, error: float) -> Try:
        """Round everything with an error, and code it."""
        rounded = round_network(self._known, error, self._told)
        made = finish(
            self._container,
            rounded,
            self._known.network,
            self._known.calls,
            exact_side=self._exact_side,
        )
        return Try(error, made, len(lnx.dumps(made.container)))

    def weights_snr(self, made: Finished) -> float:
        """Return the SNR of the weights in dB."""
        found = measure_snr(self._container, made.container)
        return math.inf if found is None else found

    def outputs_snr(self, made: Finished) -> float:
        """Return the SNR of the outputs in dB; raises UsageError without any.

        Outputs that are not numbers any more have 0 dB.
        """
        if self._outputs is None:
            raise UsageError(
                "the network's outputs are not finite float tensors of one size, so"
                " their error is not known: add --snr or --target-size"
            )
        if not differ(self._outputs):
            raise UsageError(
                "the network's outputs are the same for all inputs, so nothing says"
                " which weights matter: give other inputs, or add --snr or"
                " --target-size"
            )
        after = output_matrix(made.network, self._known.calls)
        return 0.0 if after is None else output_snr(self._outputs, after)

    def for_size(self, size: int) -> Try:
        """Return the closest network whose file takes at most size bytes.

        Plain rounding says about how large a file is. Guesses outside of what is known
        already are replaced by the middle.
        """
        if self._plain_size(MOST_ERROR) > size:
            smallest = self.round(MOST_ERROR)
            if smallest.size > size:
                raise too_small(size, smallest.finished.container)
        best: Try | None = None
        low, high = LEAST_ERROR, MOST_ERROR  # files too large, and small enough
        error = self._error_of_size(size)
        for _ in range(2 * MOST_ROUNDS):
            made = self.round(error)
            if made.size > size:
                low = error
            else:
                best, high = made, error
                if made.size >= size * (1 - SIZE_SLACK):
                    return made
            ratio = made.size / self._plain_size(error)
            error = self._error_of_size(size * (1 - SIZE_SLACK / 2) / ratio)
            if not low < error < high:
                error = math.sqrt(low * high)
            if high < low * LEAST_RATIO:
                break
        if best is not None:
            return best
        smallest = self.round(MOST_ERROR)
        if smallest.size > size:
            raise too_small(size, smallest.finished.container)
        return smallest

    def for_decibels(self, wanted: float, measure: Callable[[Finished], float]) -> Try:
        """Return the coarsest network found that is no worse than some dB."""
        best: Try | None = None
        error, slope = self._first, DECIBELS
        last: tuple[float, float] | None = None
        for _ in range(2 * MOST_ROUNDS):
            made = self.round(error)
            found = measure(made.finished)
            if found >= wanted and (best is None or error > best.error):
                best = made
            if wanted <= found <= wanted + DECIBEL_SLACK:
                break
            if last is not None and last[0] != error:
                moved = (last[1] - found) / math.log10(error / last[0])
                slope = float(np.clip(moved, DECIBELS / 2, 2 * DECIBELS))
            last = error, found
            error *= 10 ** ((min(found, 200) - wanted - DECIBEL_SLACK / 2) / slope)
            if error < LEAST_ERROR:
                break
            error = min(error, MOST_ERROR)
        if best is None:
            raise UsageError(f"{wanted:g} dB is out of reach: use --lossless")
        return best

    def for_accuracy(self, drop: float, judge: Judge) -> Try:
        """Return the smallest network found that loses at most `drop` of accuracy.

        Half octaves of error between one that holds and one that does not are tried on
        the examples of the search; the result holds on the others.
        """
        least = judge.search(self._known.network) - drop
        error, good, bad = self._first, None, math.inf
        for _ in range(2 * MOST_ROUNDS):
            made = self.round(error)
            if judge.search(made.finished.network) >= least:
                good = made
            else:
                bad = error
            if good is None:
                error /= FACTOR
            elif math.isinf(bad):
                error *= FACTOR
            else:
                error = math.sqrt(good.error * bad)
            if not LEAST_ERROR < error < MOST_ERROR:
                break
            if good is not None and bad / good.error < FACTOR**0.5:
                break
        least = judge.check(self._known.network) - drop
        for _ in range(2 * MOST_RETREATS):
            if good is not None and judge.check(good.finished.network) >= least:
                return good
            error = self._first if good is None else good.error
            good = self.round(error * RETREAT)
        raise UsageError(
            f"no network found loses at most {100 * drop:g} points of accuracy: allow"
            " more with --max-accuracy-drop, or leave it out"
        )

    def _error_of_size(self, size: float) -> float:
        """Return the error whose plain rounding takes about some bytes."""
        low, high = math.log(LEAST_ERROR), math.log(MOST_ERROR)
        for _ in range(20):
            middle = (low + high) / 2
            if self._plain_size(math.exp(middle)) > size:
                low = middle
            else:
                high = middle
        return math.exp(high)

    def _plain_size(self, error: float) -> float:
        """Return about how many bytes weights take; norms as they are."""
        plain = round_plainly(self._known, error)
        try:
            return lnx.estimate(assembled(self._container, plain)).file
        except lnx.ContentError:  # so fine that tables do not hold the symbols
            return math.inf
