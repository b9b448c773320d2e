"""The loop: steps, epochs and estimates, stopped and resumed without a trace."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lilnetx_cli.checkpoint.model_pt import take_latents
from lilnetx_cli.data import received
from lilnetx_cli.errors import InputError
from lilnetx_cli.measure import measure_accuracy
from lilnetx_cli.measure.sparsity import slice_sparsity
from lilnetx_cli.nn import penalty
from lilnetx_cli.nn.vanishing import thin_layers
from lilnetx_cli.training.devices import autocast
from lilnetx_cli.training.reports import EpochReport, Observer, StepReport
from lilnetx_cli.training.sizes import Sizes
from lilnetx_cli.training.state import Session, Totals, save_session
from lilnetx_cli.training.steering import keep_out, share_of, steer, weights_of
from lilnetx_cli.training.teacher import divergence, taught_by
from lnx import LnxError

ESTIMATE_SHARE = 0.03  # of the time, for the numbers beside the progress bar


class Stopped(Exception):  # noqa: N818
    """The run was asked to stop, and stopped where it can be resumed."""


def train(
    session: Session,
    *,
    observer: Observer,
    sizes: Sizes,
    resume_path: Path,
    record: Callable[[EpochReport], None],
    should_stop: Callable[[], bool],
) -> float:
    """Run all steps that are left; return the seconds of the whole run so far.

    Raises Stopped after a step once should_stop() is true, and InputError when the loss
    is NaN or infinite.
    """
    started = time.monotonic() - session.seconds
    gauge = _Gauge(session, sizes)
    while session.step < session.steps:
        for loss, task in _steps(session, sizes):
            _check(loss, task, session)
            observer.on_step(_step_report(session, gauge.read()))
            within = session.step % session.steps_per_epoch
            if within and session.step < session.steps and should_stop():
                save_session(session, resume_path, time.monotonic() - started)
                raise Stopped
        _end_epoch(session, started, sizes, observer, record, resume_path)
        if session.step < session.steps and should_stop():
            raise Stopped
    return time.monotonic() - started


class _Reading(NamedTuple):
    """What a network would be if it shipped now; None where that is not known."""

    bytes: int | None = None
    slice_sparsity: float | None = None
    macs_share: float | None = None


class _Gauge:
    """Reads what is shown beside the bar again only as often as is cheap."""

    def __init__(self, session: Session, sizes: Sizes) -> None:
        self._session = session
        self._sizes = sizes
        self._next = 0.0
        self._last = _Reading()

    def read(self) -> _Reading:
        """Return the latest reading, a moment old at most."""
        start, model = time.monotonic(), self._session.model
        if start >= self._next:
            try:
                self._last = _Reading(
                    self._sizes.estimate(model),
                    _zero_slices(model),
                    share_of(self._session),
                )
            except (InputError, LnxError):  # latents run away: the steps go on
                self._last = _Reading()
            cost = time.monotonic() - start
            self._next = start + cost + cost / ESTIMATE_SHARE
        return self._last


def _zero_slices(model: nn.Module) -> float | None:
    latents, _ = take_latents(model)
    return slice_sparsity(latents.values())


def _steps(session: Session, sizes: Sizes) -> Iterator[tuple[float, float]]:
    """Take the steps that are left in the epoch, yielding losses after each."""
    settings, accelerator = session.config.train, session.accelerator
    done = session.step % session.steps_per_epoch
    epoch = session.epoch
    images_per_step = settings.batch_size * settings.accumulate
    skip = done * images_per_step * accelerator.num_processes
    session.sampler.set_position(epoch, skip)
    session.splits.train.begin_epoch(settings.seed, epoch)
    session.model.train()
    steered = -1
    for images, labels in received(session.loader):
        with accelerator.accumulate(session.forward):
            if steered != session.step:  # in the first batch of a step
                steer(session, sizes)
                steered = session.step
            loss, task = _backward(session, images, labels)
            session.optimizer.step()
            keep_out(session)
            session.optimizer.zero_grad()
        if accelerator.sync_gradients:
            session.step += 1
            session.totals.steps += 1
            yield loss, task
        if session.epoch != epoch or session.step >= session.steps:
            return


def _backward(session: Session, images: Tensor, labels: Tensor) -> tuple[float, float]:
    settings, accelerator = session.config.train, session.accelerator
    if settings.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    with autocast(accelerator, settings.precision):
        logits = session.forward(images)
        taught = None if session.teacher is None else taught_by(session.teacher, images)
    logits = logits.float()
    task = F.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
    if taught is not None:
        weight = settings.teacher_weight
        apart = divergence(logits, taught, settings.temperature)
        task = (1 - weight) * task + weight * apart
    loss = task if settings.plain else task + _penalty(session)
    accelerator.backward(loss)
    if settings.clip_grad and accelerator.sync_gradients:
        accelerator.clip_grad_norm_(session.model.parameters(), settings.clip_grad)
    totals = session.totals
    totals.examples += len(labels)
    totals.hits += int((logits.detach().argmax(1) == labels).sum())
    totals.loss += float(loss.detach()) / settings.accumulate
    totals.task += float(task.detach()) / settings.accumulate
    return float(loss.detach()), float(task.detach())


def _penalty(session: Session) -> Tensor:
    weights = weights_of(session)
    terms = penalty(session.model, channels=session.channels, **weights)
    bits = float(terms.bits_per_weight.detach())
    session.totals.bits += bits / session.config.train.accumulate
    return terms.total


def _bits(session: Session) -> float | None:
    """Return the mean bits a weight over the epoch so far; None of a plain run."""
    if session.config.train.plain:
        return None
    return session.totals.bits / session.totals.steps


def _check(loss: float, task: float, session: Session) -> None:
    if loss != loss or loss in (float("inf"), float("-inf")):
        raise InputError(
            f"the loss is {loss} at step {session.step} (task {task}):"
            " lower --lr, or use --clip-grad"
        )


def _step_report(session: Session, reading: _Reading) -> StepReport:
    totals = session.totals
    return StepReport(
        epoch=session.epochs_begun,
        step=session.step,
        steps=session.steps,
        loss=totals.loss / totals.steps,
        accuracy=totals.hits / totals.examples,
        bits_per_weight=_bits(session),
        estimated_bytes=reading.bytes,
        slice_sparsity=reading.slice_sparsity,
        macs_share=reading.macs_share,
    )


def _end_epoch(
    session: Session,
    started: float,
    sizes: Sizes,
    observer: Observer,
    record: Callable[[EpochReport], None],
    resume_path: Path,
) -> None:
    totals, workers = session.totals, session.config.data.workers
    validation = measure_accuracy(
        session.model, session.splits.validation, workers=workers
    )
    report = EpochReport(
        event="epoch",
        epoch=session.epochs_begun,
        step=session.step,
        loss=totals.loss / totals.steps,
        task_loss=totals.task / totals.steps,
        bits_per_weight=_bits(session),
        accuracy=totals.hits / totals.examples,
        validation_accuracy=validation.accuracy,
        estimated_bytes=sizes.estimate(session.model),
        slice_sparsity=_zero_slices(session.model),
        macs_share=share_of(session),
        lr=session.optimizer.param_groups[0]["lr"],
        seconds=time.monotonic() - started,
    )
    session.totals = Totals()
    record(report)
    observer.on_epoch(report)
    _warn_of_layers(session, observer)
    save_session(session, resume_path, time.monotonic() - started)


def _warn_of_layers(session: Session, observer: Observer) -> None:
    """Name layers that are about to vanish, each once."""
    thin = [layer for layer in thin_layers(session.model) if layer.name not in
            session.named]  # fmt: skip
    if thin:
        session.named.update(layer.name for layer in thin)
        texts = [f"{x.name} ({x.left} of {x.filters})" for x in thin]
        observer.on_warning(
            f"few filters are left in {', '.join(texts)}: where accuracy suffers, ask"
            " for a larger file or more multiply-adds"
        )
