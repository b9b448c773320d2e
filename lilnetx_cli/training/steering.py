"""What changes from step to step: learning rates, size of the steps, the penalty."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from lilnetx_cli.nn.channel_prior import Channels
from lilnetx_cli.nn.vanishing import spare_last
from lilnetx_cli.training.cutting import Gauge, chosen
from lilnetx_cli.training.growing import grow_steps
from lilnetx_cli.training.initial_weights import SPREAD
from lilnetx_cli.training.macs_control import (
    MacsController,
    macs_share,
    take_out,
)
from lilnetx_cli.training.size_control import SizeController
from lilnetx_cli.training.state import Session
from lilnetx_cli.training.steered import Sizer, Steered

UPDATES = 100  # of the controller in a run
# The penalty acts at every fourth step, four times as hard: it changes little from step
# to step, and its cost counts (Karras et al. 2020, section 4.1: lazy regularization).
# Where nothing else acts, Adam halves what it does.
PENALTY_EVERY = 4

Choose = Callable[[Channels, MacsController], Tensor]  # which channels go


def weights_of(course: Steered) -> dict[str, float]:
    """Return the weights of the penalty at the present step."""
    weights = course.loss_weights
    if course.controller is not None:
        for name in ("rate_weight", "slice_weight"):
            weights[name] *= course.controller.factor
    if course.macs is not None:
        weights["channel_weight"] = course.macs.weight(course.step / course.steps)
    return weights


def steer(session: Session, sizes: Sizer) -> None:
    """Set learning rates, the size of the steps and the weights of the penalty."""

    def choose(channels: Channels, macs: MacsController) -> Tensor:
        multiple = session.config.target.round_channels
        gauge = gauge_of(session)
        return chosen(session.model, channels, macs.aim, gauge, multiple)

    if not session.config.train.plain:
        advance(session, sizes, choose)
    _set_rates(session)


def advance(course: Steered, sizes: Sizer, choose: Choose) -> None:
    """Set the size of the steps and the weights of the penalty for the next step."""
    progress = course.step / course.steps
    if course.growth is not None:
        spread = course.growth.spread(progress)
        grow_steps(course.model, course.optimizer, course.spread / spread)
        course.spread = spread
    every = max(1, course.steps // UPDATES)
    if course.step % every:
        return
    if course.controller is not None:
        factor = _heard(course, course.controller, progress, sizes)
        grow_steps(course.model, course.optimizer, factor)
    if course.macs is not None:
        last = course.step + every >= course.steps
        _steer_macs(course, course.macs, 1.0 if last else progress, choose)
    spare_last(course.model)


def _heard(
    course: Steered, controller: SizeController, progress: float, sizes: Sizer
) -> float:
    """Tell the controller the size of the file; return how steps are to change."""
    size = sizes.estimate(course.model)
    if size is None:
        return 1.0
    if controller.wants_exact(progress):
        controller.hear(size, sizes.nearly_exact(course.model) or size)
    return controller.update(progress, size)


def _steer_macs(
    course: Steered, macs: MacsController, progress: float, choose: Choose
) -> None:
    """Choose what goes when it is time."""
    channels = course.channels
    if channels is None or macs.settled:
        return
    if not macs.is_time(progress, macs_share(course.model, channels)):
        return
    macs.settle(progress)
    macs.gone = choose(channels, macs)
    take_out(course.model, channels, macs.gone)
    if course.controller is not None:
        course.controller.skip_change()


def share_of(course: Steered) -> float | None:
    """Return the share of MACs that is left, None where no channels are pressed."""
    if course.channels is None:
        return None
    return macs_share(course.model, course.channels)


def gauge_of(session: Session) -> Gauge:
    """Return what measures the cut network of a run."""
    splits = session.splits
    images = torch.zeros(2, splits.channels, splits.size, splits.size)
    timed = session.macs is not None and session.macs.timed
    return Gauge(images, timed, session.processes)


def keep_out(course: Steered) -> None:
    """After a step of the optimizer, keep channels at zero that were taken out."""
    if course.macs is None or course.channels is None or course.macs.gone is None:
        return
    take_out(course.model, course.channels, course.macs.gone)


@contextmanager
def shipping_weights(course: Steered) -> Iterator[None]:
    """Give the network the weights that ship: the average, where there is one."""
    if course.average is None:
        yield
        return
    with course.average.in_place(course.model):
        keep_out(course)
        yield


def _set_rates(session: Session) -> None:
    """Set learning rates; that of latents grows with their size."""
    settings = session.config.train
    factor = cosine(session.step, session.steps, settings.warmup)
    for group in session.optimizer.param_groups:
        group["lr"] = group["base_lr"] * (factor if group["scheduled"] else 1)
        if group["latents"]:
            group["lr"] *= quickness(session)


def quickness(course: Steered) -> float:
    """Return how much faster latents learn while they are fine."""
    quick = course.growth is not None and course.growth.quick
    return max(1.0, course.spread / SPREAD) if quick else 1.0


def cosine(step: int, steps: int, warmup: float) -> float:
    """Return the factor for a step: linear from 0 over the warm-up, then a cosine.

    `warmup` is a share of the steps. Source: Loshchilov and Hutter 2017, equation 5,
    one period without restarts.
    """
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    progress = (step - rising) / max(1, steps - rising)
    return 0.5 * (1 + math.cos(math.pi * progress))
