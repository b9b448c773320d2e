"""Steer a run to the share of multiply-adds that was asked for.

The channel prior shrinks channels by what they cost, over a part of the run in which
quantization steps are still fine. Then those that say least go, until little more than
the share is left, and the rest of the run recovers without the prior. Some channels die
by themselves after that: what is too much later on goes then. What has gone stays gone.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx_cli.errors import UsageError
from lilnetx_cli.nn.channel_prior import Channels, channel_norms, strongest
from lilnetx_cli.nn.latents import latent_weights
from lilnetx_cli.nn.living_channels import living, nonzero_slices

# Shares of the run: at which the prior begins, and at which channels are chosen. Most
# of the run comes after that; a prior that presses until they have died by themselves
# takes longer, and what stays suffers with them.
BEGIN, CHOOSE = 0.1, 0.25
# The weight of the prior between the two, and the power of the share that is left with
# which it lets go: in MobileNet-V2 channels die under it, many at once, and nothing
# would be left to choose.
WEIGHT, LET_GO = 2.0, 10
# What is left of the share then, in parts of it, and the share of the run at which the
# rest goes.
MORE, AGAIN = 1.04, 0.6
# This part of the share stays of each layer. Channels of the last layers are small and
# cost little: VGG-16 would lose all but a few of them, and accuracy for nothing.
STAYS = 0.5
# Where no more than this of what is to be left is left before, they are chosen at once.
NEAR = 1.02
NOTHING_GOES = 0.999  # of the MACs: no channel is worth anything where more is left


@dataclass
class MacsController:
    """Finds the weight of the channel prior, and when channels go.

    Attributes:
        target: share of the multiply-adds that is left at the end of the run.
        timed: whether it is a share of the time instead, which MACs stand for until
            channels are chosen.
        share: of the MACs that is left, as heard before channels are chosen.
        gone: which classes of channels were taken out, None before they are chosen.
        settled: whether they were chosen for the last time.
        more: what is left of the share at first, in parts of it; 1 chooses only once.
    """

    target: float
    timed: bool = False
    share: float = 1.0
    gone: Tensor | None = None
    settled: bool = False
    more: float = MORE

    @property
    def aim(self) -> float:
        """The share that channels are chosen for."""
        return self.target if self.settled else min(1.0, self.more * self.target)

    def weight(self, progress: float) -> float:
        """Return the channel_weight of the penalty at a share of the run."""
        if self.gone is not None or progress < BEGIN:
            return 0.0
        return float(WEIGHT * self.share**LET_GO)

    def is_time(self, progress: float, share: float) -> bool:
        """Hear the share that is left; tell whether channels are to be chosen.

        That is at a quarter of the run, or before, when little is left to go: channels
        also die by themselves while the steps grow, and waiting would end below what
        was asked for. They are chosen once more later.
        """
        if self.gone is not None:
            return progress >= AGAIN and not self.settled
        self.share = share
        if progress >= CHOOSE:
            return True
        near = share <= NEAR * self.aim
        return near and progress >= BEGIN and not self.timed

    def settle(self, progress: float) -> None:
        """Hear that channels are chosen now: from some point of the run on for good."""
        self.settled = progress >= AGAIN or self.more <= 1

    def state(self) -> dict[str, Any]:
        """Return what `MacsController(**state)` goes on from."""
        return dict(vars(self))


def macs_share(model: nn.Module, channels: Channels) -> float:
    """Return the share of the multiply-adds that living channels take."""
    alive = living(channels, nonzero_slices(model, channels))
    return channels.macs(alive) / channels.macs(torch.ones_like(alive))


@torch.no_grad()
def choose_gone(model: nn.Module, channels: Channels, target: float) -> Tensor:
    """Return the classes to take out so that a share of the MACs is left; (K,).

    Those whose latents are smallest go, with what lives by them alone, but some of each
    layer stay: the largest one, and where the share can be had so, more. Raises
    UsageError where too much is left.
    """
    for share in (STAYS * target, 0.0):
        gone, left = _gone(model, channels, target, share)
        if left <= target:
            return gone
    if left > NOTHING_GOES:
        raise UsageError("no channel of this network can be removed")
    raise UsageError(
        f"a share of {target:g} of the multiply-adds is out of reach: with one"
        f" channel in each prunable layer, {left:.2g} is left"
    )


def _gone(
    model: nn.Module, channels: Channels, target: float, stays: float
) -> tuple[Tensor, float]:
    """Return the fewest classes to take out for a share of the MACs, (K,).

    And the share that is left without them. So much of each layer's channels stays.
    """
    nonzero = nonzero_slices(model, channels)
    norms = channel_norms(model, channels).cpu()
    stay = strongest(channels, norms, stays)
    stay |= norms == 0  # nothing here takes others out
    order = norms.argsort()
    order = order[~stay[order]]
    every = channels.macs(torch.ones(channels.count, dtype=torch.bool))

    def left(count: int) -> tuple[Tensor, float]:
        gone = torch.zeros(channels.count, dtype=torch.bool)
        gone[order[:count]] = True
        alive = living(channels, nonzero, gone)
        return ~alive, channels.macs(alive) / every

    low, high = 0, len(order)
    while low < high:  # the fewest that do
        middle = (low + high) // 2
        low, high = (low, middle) if left(middle)[1] <= target else (middle + 1, high)
    return left(low)


@torch.no_grad()
def take_out(model: nn.Module, channels: Channels, gone: Tensor) -> None:
    """Make the latents of channels that have gone zero, in place: rows and columns."""
    for name, _, latent in latent_weights(model):
        layer = channels.layers.get(name)
        if layer is None:
            continue
        rows = layer.by_rows(latent)
        rows[gone[layer.rows].to(latent.device)] = 0
        if layer.ungrouped:
            rows[:, gone[layer.columns].to(latent.device)] = 0
