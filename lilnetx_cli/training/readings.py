"""What is read off a run as it goes: sizes, sparsity, the means of an epoch."""

import hashlib
import time
from typing import NamedTuple

import torch
from torch import nn

from lilnetx_cli.checkpoint.model_pt import take_latents
from lilnetx_cli.errors import InputError
from lilnetx_cli.measure import measure_accuracy
from lilnetx_cli.measure.sparsity import slice_sparsity
from lilnetx_cli.training.reports import EpochReport, StepReport
from lilnetx_cli.training.sizes import Sizes, estimate_file
from lilnetx_cli.training.state import Session
from lilnetx_cli.training.steering import quickness, share_of
from lnx import LnxError

ESTIMATE_SHARE = 0.03  # of the time, for the numbers beside the progress bar
DIGEST_BYTES = 7  # a number that fits int64


class Reading(NamedTuple):
    """What a network would be if it shipped now; None where that is not known."""

    bytes: int | None = None
    slice_sparsity: float | None = None
    macs_share: float | None = None


class Meter:
    """Reads what is shown beside the bar again only as often as is cheap.

    Only the process that shows it has one.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._next = 0.0
        self._last = Reading()

    def read(self) -> Reading:
        """Return the latest reading, a moment old at most."""
        start = time.monotonic()
        if start >= self._next and not self._session.config.train.plain:
            model = self._session.model
            try:
                size = estimate_file(model, self._session)
                share = share_of(self._session)
                self._last = Reading(size, _zero_slices(model), share)
            except (InputError, LnxError):  # latents run away: the steps go on
                self._last = Reading()
            cost = time.monotonic() - start
            self._next = start + cost + cost / ESTIMATE_SHARE
        return self._last


def step_report(session: Session, reading: Reading) -> StepReport:
    """Return what is shown after a step."""
    totals = session.totals
    return StepReport(
        epoch=session.epochs_begun,
        step=session.step,
        steps=session.steps,
        loss=totals.loss,
        accuracy=totals.hits / totals.examples,
        bits_per_weight=_bits(session),
        estimated_bytes=reading.bytes,
        slice_sparsity=reading.slice_sparsity,
        macs_share=reading.macs_share,
    )


def epoch_report(session: Session, sizes: Sizes, seconds: float) -> EpochReport:
    """Return the line of an epoch, measured on the validation images."""
    totals = session.totals
    validation = measure_accuracy(
        session.model,
        session.splits.validation,
        workers=session.config.data.workers,
        processes=session.processes,
    )
    return EpochReport(
        event="epoch",
        epoch=session.epochs_begun,
        step=session.step,
        loss=totals.loss,
        task_loss=totals.task / totals.steps,
        bits_per_weight=_bits(session),
        accuracy=totals.hits / totals.examples,
        validation_accuracy=validation.accuracy,
        estimated_bytes=sizes.estimate(session.model),
        slice_sparsity=_zero_slices(session.model),
        macs_share=share_of(session),
        lr=_scheduled_rate(session),
        seconds=seconds,
    )


def fingerprint(model: nn.Module) -> int:
    """Return a number that two networks with the same parameters share."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for parameter in model.parameters():
        flat = parameter.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return int.from_bytes(digest.digest(), "big")


def _scheduled_rate(session: Session) -> float:
    """Return the learning rate of the first parameters, as if steps were coarse."""
    first = session.optimizer.param_groups[0]
    rate = float(first["lr"])
    return rate / quickness(session) if first["latents"] else rate


def _bits(session: Session) -> float | None:
    """Return the mean bits a weight over the epoch so far; None where none is known."""
    totals = session.totals
    return totals.bits / totals.rated if totals.rated else None


def _zero_slices(model: nn.Module) -> float | None:
    latents, _ = take_latents(model)
    return slice_sparsity(latents.values())
