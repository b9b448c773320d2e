"""Gates that keep a dead filter at zero through its batch norm.

A filter without a non-zero latent emits zero, which a batch norm turns into its shift.
Behind a gate it stays zero, so that training sees the network that is left when the
filter is cut out, and cutting it out is exact.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import parametrize

from lilnetx_cli.nn.latents import LatentWeight, parametrizations_of

GATEABLE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Gate(nn.Module):
    """The parametrization of a norm's scale or shift: zero where the filter is dead."""

    def __init__(
        self, conv: nn.Module, order: tuple[str, ...], *, in_training: bool
    ) -> None:
        super().__init__()
        self._conv = (conv,)  # in a tuple, so that it is no submodule
        self.order = order  # of the norm's parameters
        self.in_training = in_training

    @property
    def alive(self) -> Tensor:
        """Which filters have a non-zero latent, (C,)."""
        ((_, _, latent),) = parametrizations_of(self._conv[0], LatentWeight)
        # Rounds to zero exactly up to 1/2, half to even.
        return latent.detach().flatten(1).abs().amax(1) > 0.5

    def forward(self, values: Tensor) -> Tensor:
        """Return the values that the norm computes with, (C,) in and out."""
        idle = self.training and not self.in_training
        return values if idle else self.gated(values)

    def gated(self, values: Tensor) -> Tensor:
        """Return values with zeros where filters are dead, (C,) in and out."""
        return torch.where(self.alive, values, 0.0)


@torch.no_grad()
def gate_dead_filters(model: nn.Module, run: Callable[[nn.Module], Any]) -> int:
    """Gate the batch norms that directly follow convolutions with latents, in place.

    `run` calls the network once, in evaluation mode, which shows which norm follows
    which convolution. A batch norm that also follows something else stays as it is.
    Returns how many are gated. `materialize` takes the gates off.
    """
    pairs = _watch(model, run)
    for norm, conv in pairs.items():
        order = tuple(norm._parameters)
        for name in order:
            # In training, the scale of a filter without a bias scales exact zeros.
            in_training = name == "bias" or conv._parameters.get("bias") is not None
            gate = Gate(conv, order, in_training=in_training)
            parametrize.register_parametrization(norm, name, gate)
        norm.train(norm.training)  # the gates, too
    return len(pairs)


def _watch(
    model: nn.Module, run: Callable[[nn.Module], Any]
) -> dict[nn.Module, nn.Module]:
    """Return the convolution that each batch norm follows, at every call the same."""
    made: dict[int, tuple[Tensor, nn.Module]] = {}  # the tensor, kept alive
    before: dict[nn.Module, set[nn.Module | None]] = {}

    def after_conv(module: nn.Module, args: Any, output: Tensor) -> None:  # noqa: ANN401
        del args
        made[id(output)] = (output, module)

    def before_norm(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        found = made.get(id(args[0]))
        before.setdefault(module, set()).add(found[1] if found else None)

    handles = []
    for module in model.modules():
        if _has_filters(module):
            handles.append(module.register_forward_hook(after_conv))
        elif type(module) in GATEABLE and cast("Any", module).affine:
            handles.append(module.register_forward_pre_hook(before_norm))
    was_training = model.training
    model.eval()
    try:
        run(model)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    alone = {norm: next(iter(c)) for norm, c in before.items() if len(c) == 1}
    return {norm: conv for norm, conv in alone.items() if conv is not None}


def _has_filters(module: nn.Module) -> bool:
    """Tell whether dimension 0 of a weight with latents is that of output channels."""
    if isinstance(module, _ConvTransposeNd) or not isinstance(
        module, _ConvNd | nn.Linear
    ):
        return False
    return any(True for _ in parametrizations_of(module, LatentWeight))
