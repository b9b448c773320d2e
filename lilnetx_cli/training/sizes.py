"""How large the file of a run would be: estimated, or to the byte."""

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

import lnx
from lilnetx_cli.checkpoint import Checkpoint, pack
from lilnetx_cli.training.finalize import finalize, probe_images
from lilnetx_cli.training.state import Session

ACCURACY_BYTES = 8  # by which digits of other accuracies may pack worse
FEW_IMAGES = 16  # on which a run that goes on rounds its norms and biases


@dataclass(frozen=True)
class Sizes:
    """Bytes of the whole file of a session's network; None of a plain run.

    The first process finds them for all: who steers by them must hear the same.
    """

    session: Session

    def estimate(self, model: nn.Module) -> int | None:
        """Return about how many bytes the file would have now, fast.

        Norms and biases are rounded by their own size alone, and nothing is coded.
        """
        if self.session.config.train.plain:
            return None
        first = self.session.processes.from_first
        return first(lambda: estimate_file(model, self.session))

    def nearly_exact(self, model: nn.Module) -> int | None:
        """Return how many bytes the file would have now, all rounded as at the end."""
        if self.session.config.train.plain:
            return None

        first = self.session.processes.from_first
        return first(lambda: nearly_exact_file(model, self.session))


def estimate_file(model: nn.Module, session: Session) -> int:
    """Return how many bytes the file of a network would have now, without coding it."""
    return lnx.estimate(_container(finalize(model, None)[1], session)).file


def nearly_exact_file(model: nn.Module, session: Session) -> int:
    """Return how many bytes the file would have now, all rounded as at the end."""
    images = probe_images(session, FEW_IMAGES)
    return exact_bytes(finalize(model, images)[1], session)


def exact_bytes(checkpoint: Checkpoint, session: Session) -> int:
    """Return how many bytes a file has, and those that its accuracies may add."""
    return len(lnx.dumps(_container(checkpoint, session))) + ACCURACY_BYTES


def with_record(
    checkpoint: Checkpoint, session: Session, accuracy: float, validation: float
) -> Checkpoint:
    """Return a checkpoint that says how it was trained, and of which network it is."""
    record: dict[str, Any] = {
        "accuracy": round(accuracy, 6),
        "dataset": session.config.data.name,
        "epochs": session.epochs_begun,
        "seed": session.config.train.seed,
        "validation_accuracy": round(validation, 6),
    }
    return replace(checkpoint, architecture=session.architecture, training=record)


def _container(checkpoint: Checkpoint, session: Session) -> lnx.Container:
    """Return what the file holds; accuracies, not known yet, have all their digits."""
    return pack(with_record(checkpoint, session, 1 / 3, 1 / 3))
