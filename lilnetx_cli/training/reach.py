"""Whether a file can have the size that was asked for, told before the first step."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from lilnetx_cli.errors import UsageError
from lilnetx_cli.nn import latent_weights
from lilnetx_cli.nn.channel_prior import Channels
from lilnetx_cli.training.cutting import Gauge, smallest_share
from lilnetx_cli.training.growing import grow_steps
from lilnetx_cli.training.macs_control import MacsController, choose_gone
from lilnetx_cli.training.size_control import SizeController, spread_of
from lilnetx_cli.training.sizes import estimate_file, nearly_exact_file
from lilnetx_cli.training.state import Session
from lilnetx_cli.training.steered import Steered
from lilnetx_cli.training.steering import gauge_of

# A file holds 16384 different latents; as fine as this they say nothing more anyway.
LARGEST_LATENT = 2**12

Estimate = Callable[[nn.Module], int]


class OutOfReach(UsageError):  # noqa: N818
    """No network has the size, or the share of the MACs, that was asked for."""


def check_reach(session: Session) -> None:
    """Make the steps of a fresh run fine enough for the size that was asked for.

    Raises OutOfReach for a share of the MACs that is below one channel in each layer,
    for a size that is below that of a network with one latent in each weight, and for
    one above what the finest latents take.
    """
    if session.macs is not None and session.channels is not None:
        gauge = gauge_of(session)
        check_share(session.model, session.channels, session.macs, gauge)
    if session.controller is not None:
        check_size(
            session,
            session.controller.target,
            partial(estimate_file, session=session),
            partial(nearly_exact_file, session=session),
        )
        if session.config.train.spread is None:
            end_growth(session, session.controller)


def check_share(
    model: nn.Module, channels: Channels, macs: MacsController, gauge: Gauge | None
) -> None:
    """Raise OutOfReach for a share that is below one channel in each layer.

    Shares of the time need a gauge.
    """
    if not macs.timed or gauge is None:
        try:
            choose_gone(model, channels, macs.target)
        except UsageError as error:
            raise OutOfReach(str(error)) from error
        return
    share = smallest_share(model, channels, gauge)
    if share is None or share > macs.target:
        left = "nothing can be cut out of this network"
        if share is not None:
            left = "with one channel in each prunable layer, a batch"
            left += f" takes {share:.2f} of it"
        raise OutOfReach(
            f"a share of {macs.target:g} of the time is out of reach: {left}"
        )


def check_size(
    course: Steered, target: int, estimate: Estimate, nearly_exact: Estimate
) -> None:
    """Make steps fine enough for a file of a size, given what estimates its bytes.

    Raises OutOfReach for one that the network cannot have.
    """
    empty = _nearly_empty(course.model)
    smallest = estimate(empty)
    if target < smallest:  # estimates round what is beside the latents less far
        smallest = min(smallest, nearly_exact(empty))
    if target < smallest:
        raise OutOfReach(
            f"a file of {target:,} bytes is out of reach: even with nearly all weights"
            f" zero this network takes {smallest:,}; to be accurate, far more"
        )
    size = estimate(course.model)
    while size < target and _largest(course.model) < LARGEST_LATENT:
        grow_steps(course.model, course.optimizer, 0.5)
        course.spread *= 2
        size = estimate(course.model)
    if size < target:
        raise OutOfReach(
            f"a file of {target:,} bytes is more than this network can fill: its finest"
            f" latents take {size:,}; ask for less, or to keep every bit, train without"
            " a size, then lilnetx compress --lossless"
        )


def check_fits(size: int, target: int) -> None:
    """Raise OutOfReach where a network has a larger file at the end of its training."""
    if size > target:
        raise OutOfReach(
            f"a file of {target:,} bytes is out of reach: with nearly all weights"
            f" zero it still has {size:,}"
        )


def end_growth(course: Steered, controller: SizeController) -> None:
    """Let steps grow as far as the size of the file leaves bits for each weight.

    What a file holds beside the weights is most of a tiny one: they never become finer
    than `check_size` found that the file needs.
    """
    if course.growth is not None:
        last = min(spread_of(controller.bits), course.spread)
        course.growth = replace(course.growth, last=max(course.growth.last, last))


def _largest(model: nn.Module) -> float:
    latents = [latent.detach() for _, _, latent in latent_weights(model)]
    return max((float(x.abs().max()) for x in latents if x.numel()), default=0.0)


@torch.no_grad()
def _nearly_empty(model: nn.Module) -> nn.Module:
    """Return a copy whose weights have one latent each that is not zero."""
    model = copy.deepcopy(model)
    for _, _, latent in latent_weights(model):
        latent.zero_()
        latent.view(-1)[:1] = 1
    return model
