"""What changes from step to step: learning rates, size of the steps, the penalty."""

import math

import torch

from lilnetx_cli.nn.vanishing import spare_last
from lilnetx_cli.training.cutting import Gauge, chosen
from lilnetx_cli.training.growing import grow_steps
from lilnetx_cli.training.initial_weights import SPREAD
from lilnetx_cli.training.macs_control import (
    CHOOSE,
    MacsController,
    macs_share,
    take_out,
)
from lilnetx_cli.training.size_control import SizeController
from lilnetx_cli.training.sizes import Sizes
from lilnetx_cli.training.state import Session

UPDATES = 100  # of the controller in a run


def weights_of(session: Session) -> dict[str, float]:
    """Return the weights of the penalty at the present step."""
    weights: dict[str, float] = session.config.loss.model_dump()
    if session.controller is not None:
        for name in ("rate_weight", "slice_weight"):
            weights[name] *= session.controller.factor
    if session.macs is not None:
        weights["channel_weight"] = session.macs.weight
    return weights


def steer(session: Session, sizes: Sizes) -> None:
    """Set learning rates, the size of the steps and the weights of the penalty."""
    progress = session.step / session.steps
    if session.growth is not None:
        spread = session.growth.spread(progress)
        grow_steps(session.model, session.optimizer, session.spread / spread)
        session.spread = spread
    due = session.step % max(1, session.steps // UPDATES) == 0
    if session.controller is not None and due:
        factor = _heard(session, session.controller, progress, sizes)
        grow_steps(session.model, session.optimizer, factor)
    if session.macs is not None and due:
        _steer_macs(session, session.macs, progress)
    if due and not session.config.train.plain:
        spare_last(session.model)
    _set_rates(session)


def _heard(
    session: Session, controller: SizeController, progress: float, sizes: Sizes
) -> float:
    """Tell the controller the size of the file; return how steps are to change."""
    size = sizes.estimate(session.model)
    if size is None:
        return 1.0
    if controller.wants_exact(progress):
        controller.hear(size, sizes.nearly_exact(session.model) or size)
    return controller.update(progress, size)


def _steer_macs(session: Session, macs: MacsController, progress: float) -> None:
    """Tell the controller the share of MACs that is left; choose what goes."""
    channels = session.channels
    if channels is None or macs.gone is not None:
        return
    if progress < CHOOSE:
        macs.update(progress, macs_share(session.model, channels))
        return
    multiple = session.config.target.round_channels
    gauge = gauge_of(session)
    macs.gone = chosen(session.model, channels, macs.target, gauge, multiple)
    take_out(session.model, channels, macs.gone)


def share_of(session: Session) -> float | None:
    """Return the share of MACs that is left, None where no channels are pressed."""
    if session.channels is None:
        return None
    return macs_share(session.model, session.channels)


def gauge_of(session: Session) -> Gauge:
    """Return what measures the cut network of a run."""
    splits = session.splits
    images = torch.zeros(2, splits.channels, splits.size, splits.size)
    timed = session.macs is not None and session.macs.timed
    return Gauge(images, timed, session.processes)


def keep_out(session: Session) -> None:
    """After a step of the optimizer, keep channels at zero that were taken out."""
    if session.macs is None or session.channels is None or session.macs.gone is None:
        return
    take_out(session.model, session.channels, session.macs.gone)


def _set_rates(session: Session) -> None:
    """Set learning rates; that of latents of drawn weights grows with their size."""
    settings = session.config.train
    factor = cosine(session.step, session.steps, settings.warmup)
    for group in session.optimizer.param_groups:
        group["lr"] = group["base_lr"] * (factor if group["scheduled"] else 1)
        if group["latents"] and session.growth is not None and session.growth.quick:
            group["lr"] *= max(1.0, session.spread / SPREAD)


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
