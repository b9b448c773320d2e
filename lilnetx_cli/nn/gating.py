"""Gates that keep a dead filter at zero through its batch norm.

A filter without a non-zero latent emits zero, which a batch norm turns into its shift.
Behind a gate it stays zero, so that training sees the network that is left when the
filter is cut out, and cutting it out is exact.
"""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lilnetx_cli.nn.latents import LatentWeight, parametrizations_of
from lilnetx_cli.nn.norm_pairs import filters_before_norms


class Gate(nn.Module):
    """The parametrization of a norm's scale or shift: zero where the filter is dead."""

    def __init__(
        self, conv: nn.Module, order: tuple[str, ...], *, in_training: bool
    ) -> None:
        super().__init__()
        self._conv = (conv,)  # in a tuple, so that it is not a submodule
        self.order = order  # of the norm's parameters
        self.in_training = in_training

    @property
    def alive(self) -> Tensor:
        """Which filters have a non-zero latent, (C,)."""
        ((_, _, latent),) = parametrizations_of(self._conv[0], LatentWeight)
        # Rounds to zero exactly up to 1/2, half to even.
        return latent.detach().abs().amax(tuple(range(1, latent.dim()))) > 0.5

    def forward(self, values: Tensor) -> Tensor:
        """Return the values that the norm computes with, (C,) in and out."""
        if not self.training:
            return self.gated(values)
        return values * self.alive if self.in_training else values  # the fast form

    def gated(self, values: Tensor) -> Tensor:
        """Return values with zeros where filters are dead, (C,) in and out."""
        return torch.where(self.alive, values, 0.0)


@torch.no_grad()
def gate_dead_filters(
    model: nn.Module,
    run: Callable[[nn.Module], Any],
    without: Collection[nn.Module] = (),
) -> int:
    """Gate the batch norms that directly follow convolutions with latents, in place.

    `run` calls the network once, in evaluation mode, which shows which norm follows
    which convolution. A batch norm that also follows something else stays as it is, and
    so do those in `without`.
    Returns how many are gated. `materialize` takes the gates off.
    """
    found = filters_before_norms(model, run)
    pairs = {
        norm: conv
        for norm, conv in found.items()
        if norm not in without and _has_latents(conv)
    }
    for norm, conv in pairs.items():
        order = tuple(norm._parameters)
        for name in order:
            # In training, the scale of a filter without a bias scales exact zeros.
            in_training = name == "bias" or conv._parameters.get("bias") is not None
            gate = Gate(conv, order, in_training=in_training)
            parametrize.register_parametrization(norm, name, gate)
        norm.train(norm.training)  # the gates, too
    return len(pairs)


def _has_latents(module: nn.Module) -> bool:
    return any(True for _ in parametrizations_of(module, LatentWeight))
