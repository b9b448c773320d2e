"""Batch norms that a dead filter leaves at zero, in training as after pruning.

A filter without a non-zero latent emits zero, but a batch norm makes the constant
`beta` of it. Gated, it stays zero, so that training sees the network that is left when
the filter is cut out, and cutting it is exact.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from lilnetx_cli.nn.latents import LatentWeight, parametrizations_of


class Gated(nn.Module):
    """A batch norm whose scale and shift are zero where the filter before is dead.

    Its parameters and its state dict are those of the batch norm that it was.
    """

    _filters: tuple[nn.Module]  # in a tuple, so that it is no submodule

    @property
    def alive(self) -> Tensor:
        """Which filters have a non-zero latent, (C,)."""
        conv = self._filters[0]
        latent = next(latent for _, _, latent in parametrizations_of(conv))
        # Rounds to zero exactly up to 1/2, half to even.
        return latent.detach().flatten(1).abs().amax(1) > 0.5

    @property
    def weight(self) -> Tensor:
        """The scale, (C,)."""
        if self.training and cast("nn.Conv2d", self._filters[0]).bias is None:
            return cast("Tensor", self._parameters["weight"])  # it scales exact zeros
        return self._gate("weight")

    @property
    def bias(self) -> Tensor:
        """The shift, (C,)."""
        return self._gate("bias")

    def _gate(self, name: str) -> Tensor:
        parameter = cast("Tensor", self._parameters[name])
        return torch.where(self.alive, parameter, 0.0)


class GatedBatchNorm1d(Gated, nn.BatchNorm1d):  # type: ignore[misc]
    """For 2-d and 3-d inputs."""


class GatedBatchNorm2d(Gated, nn.BatchNorm2d):  # type: ignore[misc]
    """For 4-d inputs."""


class GatedBatchNorm3d(Gated, nn.BatchNorm3d):  # type: ignore[misc]
    """For 5-d inputs."""


GATED: dict[type[nn.Module], type[Gated]] = {
    nn.BatchNorm1d: GatedBatchNorm1d,
    nn.BatchNorm2d: GatedBatchNorm2d,
    nn.BatchNorm3d: GatedBatchNorm3d,
}
PLAIN: dict[type[nn.Module], type[nn.Module]] = {g: p for p, g in GATED.items()}


@torch.no_grad()
def gate_dead_filters(model: nn.Module, run: Callable[[nn.Module], Any]) -> int:
    """Gate the batch norms that directly follow convolutions with latents, in place.

    Which follows which is seen while `run` calls the network once, in evaluation mode.
    A batch norm that also follows something else stays as it is. Returns how many are
    gated.
    """
    pairs = _watch(model, run)
    for norm, conv in pairs.items():
        norm.__class__ = GATED[type(norm)]
        cast("Gated", norm)._filters = (conv,)
    return len(pairs)


@torch.no_grad()
def ungate(model: nn.Module) -> None:
    """Turn gated batch norms into plain ones, zero where filters are dead, in place."""
    for norm in [m for m in model.modules() if isinstance(m, Gated)]:
        for name in ("weight", "bias"):
            value = norm._gate(name).clone()
            wanted = cast("Tensor", norm._parameters[name]).requires_grad
            norm._parameters[name] = nn.Parameter(value, requires_grad=wanted)
        del norm._filters
        norm.__class__ = cast("type[Gated]", PLAIN[type(norm)])


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
        elif type(module) in GATED and cast("Any", module).affine:
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
    return any(isinstance(w, LatentWeight) for _, w, _ in parametrizations_of(module))
