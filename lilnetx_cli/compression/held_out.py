"""Accuracy on labelled examples: one half for a search, the other to check it."""

from torch import nn

from lilnetx_cli.data import EpochDataset
from lilnetx_cli.data.calibration import Chosen
from lilnetx_cli.errors import InputError, LilnetxError, UsageError, reason_of
from lilnetx_cli.measure import measure_accuracy

FEWEST_LABELLED = 100


class HeldOut:
    """Judges networks by labelled examples that they were not calibrated with."""

    def __init__(self, examples: EpochDataset) -> None:
        if len(examples) < FEWEST_LABELLED:
            raise UsageError(
                f"{len(examples)} labelled examples are too few to judge accuracy by:"
                f" expected {FEWEST_LABELLED} or more"
            )
        self._search = Chosen(examples, range(0, len(examples), 2))
        self._check = Chosen(examples, range(1, len(examples), 2))

    def search(self, network: nn.Module) -> float:
        """Return the accuracy on the examples that a search may use."""
        return _accuracy(network, self._search)

    def check(self, network: nn.Module) -> float:
        """Return the accuracy on examples that no search has used."""
        return _accuracy(network, self._check)


def _accuracy(network: nn.Module, examples: EpochDataset) -> float:
    """Return an accuracy; raises InputError for a network or labels without one."""
    try:
        return measure_accuracy(network, examples).accuracy
    except LilnetxError:
        raise
    except Exception as error:
        raise InputError(
            "accuracy needs a network that returns one tensor of logits, (N, classes),"
            f" and labels from 0 to classes - 1: {reason_of(error)}"
        ) from error
