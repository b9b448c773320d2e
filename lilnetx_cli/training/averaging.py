"""A moving average of the weights of a run, which is what then ships.

Source: Polyak and Juditsky 1992; the growing decay as in Tan and Le 2019's code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx_cli.errors import UsageError
from lilnetx_cli.nn.batch_norm import running_statistics
from lilnetx_cli.nn.latents import latent_weights


@dataclass
class Average:
    """Means of parameters and running statistics over the latest steps.

    Attributes:
        decay: share of the mean that a step keeps; less at first.
        values: the means by name; those of latents in the unit of the weights, which
            stays the same while the quantization steps change.
        steps: heard so far.
    """

    decay: float
    values: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Hear the weights after a step."""
        decay = min(self.decay, self.steps / (self.steps + 10))
        units = _units(model)
        for name, tensor in _parts(model).items():
            now = tensor * units.get(name, 1)
            mean = self.values.get(name, now.clone()).to(now.device)
            self.values[name] = mean.lerp_(now, 1 - decay)
        self.steps += 1

    def to(self, device: torch.device) -> "Average":
        """Return a copy on a device."""
        values = {k: v.to(device, copy=True) for k, v in self.values.items()}
        return replace(self, values=values)

    def fits(self, model: nn.Module) -> bool:
        """Tell whether it is one of such a model: of tensors of these shapes."""
        own = {name: tensor.shape for name, tensor in _parts(model).items()}
        return not self.steps or own == {k: v.shape for k, v in self.values.items()}

    def state(self) -> dict[str, Any]:
        """Return a copy that `Average(**state)` goes on from."""
        return {**vars(self), "values": {k: v.clone() for k, v in self.values.items()}}

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """Give a model the means for a while."""
        own = _parts(model)
        kept = {name: tensor.detach().clone() for name, tensor in own.items()}
        units = _units(model)
        try:
            with torch.no_grad():
                for name, tensor in own.items() if self.steps else ():
                    tensor.copy_(self.values[name].to(tensor) / units.get(name, 1))
            yield
        finally:
            with torch.no_grad():
                for name, tensor in own.items():
                    tensor.copy_(kept[name])


def average_of(decay: float | None) -> Average | None:
    """Return an average, None without a decay; raises UsageError out of bounds."""
    if decay is not None and not 0 < decay < 1:
        raise UsageError(f"ema is {decay}, expected a share between 0 and 1")
    return None if decay is None else Average(decay)


def _parts(model: nn.Module) -> dict[str, Tensor]:
    """Return what changes from step to step: parameters and running statistics."""
    running = {id(tensor) for tensor in running_statistics(model)}
    buffers = {name: b for name, b in model.named_buffers() if id(b) in running}
    every: dict[str, Tensor] = {**dict(model.named_parameters()), **buffers}
    return {name: t for name, t in every.items() if t.is_floating_point()}


def _units(model: nn.Module) -> dict[str, Tensor]:
    """Return the quantization step of each parameter that holds latents."""
    steps = {id(latent): w.group.step for _, w, latent in latent_weights(model)}
    own = model.named_parameters()
    return {name: steps[id(p)] for name, p in own if id(p) in steps}
