"""What is steered from step to step: a run of `train`, or a loop of the user's own."""

from typing import Any, Protocol

from torch import nn

from lilnetx_cli.nn.channel_prior import Channels
from lilnetx_cli.training.averaging import Average
from lilnetx_cli.training.growing import Growth
from lilnetx_cli.training.macs_control import MacsController
from lilnetx_cli.training.size_control import SizeController


class Steered(Protocol):
    """A network in training, and what is known of its course.

    Attributes:
        optimizer: something whose `state` says what is known of each latent.
        spread: size of the latents, in quantization steps, but for what they learned.
        growth: how the quantization steps grow, None where they stay.
        controller: of the penalty, None where its weights stay.
        channels: that are coupled, None where nothing presses them.
        macs: the controller of the channel prior, None where its weight stays.
        average: of the weights, which ships, None where the weights themselves do.
        step: optimizer steps done, of `steps`.
        loss_weights: of the penalty, where no controller has a say.
    """

    model: nn.Module
    optimizer: Any
    spread: float
    growth: Growth | None
    controller: SizeController | None
    channels: Channels | None
    macs: MacsController | None
    average: Average | None
    step: int

    @property
    def steps(self) -> int: ...  # noqa: D102

    @property
    def loss_weights(self) -> dict[str, float]: ...  # noqa: D102


class Sizer(Protocol):
    """Knows how many bytes the file of a network would have; None of a plain one."""

    def estimate(self, model: nn.Module) -> int | None:
        """Return about how many, fast."""

    def nearly_exact(self, model: nn.Module) -> int | None:
        """Return how many, with everything rounded as at the end."""
