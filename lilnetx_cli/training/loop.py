"""The loop: steps and epochs, stopped and resumed without a trace."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from lilnetx_cli.data import received
from lilnetx_cli.errors import InputError
from lilnetx_cli.nn import penalty
from lilnetx_cli.nn.vanishing import thin_layers
from lilnetx_cli.training.devices import apart_statistics, autocast, other_buffers
from lilnetx_cli.training.readings import (
    Meter,
    epoch_report,
    fingerprint,
    step_report,
)
from lilnetx_cli.training.reports import EpochReport, Observer
from lilnetx_cli.training.sizes import Sizes
from lilnetx_cli.training.state import Session, Totals, save_session
from lilnetx_cli.training.steering import (
    PENALTY_EVERY,
    keep_out,
    shipping_weights,
    steer,
    weights_of,
)
from lilnetx_cli.training.teacher import divergence, taught_by


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
    begin: Callable[[], None],
) -> float:
    """Run all steps that are left; return the seconds of the whole run so far.

    `begin` is called once, when the first step went well.
    Raises Stopped after a step once should_stop() is true in any process, and
    InputError when the loss is NaN or infinite.
    """
    started = time.monotonic() - session.seconds
    meter = Meter(session)
    asked = begun = False
    while session.step < session.steps:
        for step in _steps(session, sizes, should_stop):
            _check(step, session)
            if not begun:
                begin()
                begun = True
            asked = asked or step.stop > 0
            if session.processes.first:
                observer.on_step(step_report(session, meter.read()))
            within = session.step % session.steps_per_epoch
            if asked and within and session.step < session.steps:
                save_session(session, resume_path, time.monotonic() - started)
                raise Stopped
        _end_epoch(session, started, sizes, observer, record, resume_path)
        if asked and session.step < session.steps:
            raise Stopped
    if not begun:
        begin()
    return time.monotonic() - started


@dataclass
class _Step:
    """What one step saw, in the means and sums of all processes.

    Penalty and bits are those of a step at which the penalty acts: `rated` is then 1.
    """

    examples: float = 0
    hits: float = 0
    task: float = 0.0
    penalty: float = 0.0
    bits: float = 0.0
    rated: float = 0
    stop: float = 0


def _steps(
    session: Session, sizes: Sizes, should_stop: Callable[[], bool]
) -> Iterator[_Step]:
    """Take the steps that are left in the epoch, yielding what each saw."""
    settings, accelerator = session.config.train, session.accelerator
    done, epoch = session.step % session.steps_per_epoch, session.epoch
    session.sampler.set_position(epoch, done * session.images_per_step)
    session.splits.train.begin_epoch(settings.seed, epoch)
    session.model.train()
    step = None
    for images, labels in received(session.loader):
        with accelerator.accumulate(session.forward):
            if step is None:  # in the first batch of a step
                steer(session, sizes)
                step = _Step()
            _backward(session, images, labels, step)
            _let_densities_rest(session)
            session.optimizer.step()
            keep_out(session)
            session.optimizer.zero_grad()
        if accelerator.sync_gradients:
            step.stop = should_stop()
            seen, step = _shared(step, session), None
            session.step += 1
            _add(seen, session.totals)
            if session.average is not None:
                session.average.update(session.model)
            yield seen
        if session.epoch != epoch or session.step >= session.steps:
            return


def _backward(session: Session, images: Tensor, labels: Tensor, step: _Step) -> None:
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
    loss = task if settings.plain else task + _penalty(session, step)
    accelerator.backward(loss)
    if settings.clip_grad and accelerator.sync_gradients:
        accelerator.clip_grad_norm_(session.model.parameters(), settings.clip_grad)
    step.examples += len(labels)
    step.hits += int((logits.detach().argmax(1) == labels).sum())
    step.task += float(task.detach()) / settings.accumulate


def _penalty(session: Session, step: _Step) -> Tensor:
    """Return the penalty of a step; at most steps it is 0."""
    if session.step % PENALTY_EVERY:
        if session.processes.count == 1:
            return torch.zeros((), device=session.accelerator.device)
        # Processes wait for the gradients of all parameters, used or not.
        return 0.0 * torch.stack([p.sum() for p in session.model.parameters()]).sum()
    weights = {k: PENALTY_EVERY * v for k, v in weights_of(session).items()}
    terms = penalty(session.model, channels=session.channels, **weights)
    batches = session.config.train.accumulate
    step.penalty += float(terms.total.detach()) / (PENALTY_EVERY * batches)
    step.bits += float(terms.bits_per_weight.detach()) / batches
    step.rated = 1
    return terms.total


def _let_densities_rest(session: Session) -> None:
    """Densities learn where the penalty acts: Adam passes over them at other steps."""
    if session.step % PENALTY_EVERY:
        for density in session.densities:
            density.grad = None


def _shared(step: _Step, session: Session) -> _Step:
    """Return what all processes saw, and make running statistics their mean.

    Both travel together. One process keeps what it has.
    """
    processes = session.processes
    if processes.count == 1:
        return step
    own = torch.tensor(list(vars(step).values()), dtype=torch.float64)
    statistics = apart_statistics(session.model)
    sizes = [len(own), *(tensor.numel() for tensor in statistics)]
    flat = torch.cat([own, *(tensor.double().flatten() for tensor in statistics)])
    sums, *rest = torch.split(processes.total(flat), sizes)
    for tensor, summed in zip(statistics, rest, strict=True):
        tensor.copy_((summed / processes.count).view_as(tensor))
    examples, hits, task, lasting, bits, rated, stop = sums.tolist()
    count = processes.count
    means = task / count, lasting / count, bits / count, rated / count
    return _Step(examples, hits, *means, stop)


def _add(step: _Step, totals: Totals) -> None:
    totals.steps += 1
    totals.examples += int(step.examples)
    totals.hits += int(step.hits)
    totals.task += step.task
    totals.penalty += step.penalty
    totals.bits += step.bits
    totals.rated += int(step.rated)


def _check(step: _Step, session: Session) -> None:
    loss = step.task + step.penalty
    if not math.isfinite(loss):
        raise InputError(
            f"the loss is {loss} at step {session.step} (task {step.task}):"
            " lower --lr, or use --clip-grad"
        )


def _end_epoch(
    session: Session,
    started: float,
    sizes: Sizes,
    observer: Observer,
    record: Callable[[EpochReport], None],
    resume_path: Path,
) -> None:
    if not session.processes.agree(lambda: fingerprint(session.model)):
        raise InputError(
            f"the networks of the processes differ at step {session.step}: use the"
            " same kind of device and version of torch for all"
        )
    session.processes.copy_first(other_buffers(session.model))
    with shipping_weights(session):
        report = epoch_report(session, sizes, time.monotonic() - started)
    session.totals = Totals(before=session.totals.mean_penalty)
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
            f"few filters are left in {', '.join(texts)}: if accuracy suffers, ask"
            " for a larger file or more MACs"
        )
