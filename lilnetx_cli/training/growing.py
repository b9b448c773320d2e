"""Quantization steps that grow over the first part of a run, from fine to coarse.

With fine steps a network computes what its weights say; with coarse ones most latents
are zero, which is where small files come from. Growing slowly leaves the network time
to follow, so that trained weights are not lost. Gradual pruning (Zhu and Gupta 2017) is
the same idea with zeros alone.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.latents import latent_groups, latent_weights

# What optimizers of torch and transformers keep, and how it grows with the gradients:
# as they do, or as their squares. Latents, and averages of them, shrink.
POWERS = {
    "exp_avg": 1, "exp_avg_sq": 2, "max_exp_avg_sq": 2, "exp_inf": 1, "grad_avg": 1,
    "momentum_buffer": 1, "prev": 1, "square_avg": 2, "sum": 2, "exp_avg_sq_row": 2,
    "exp_avg_sq_col": 2, "row_var": 2, "col_var": 2, "variance": 2, "ax": -1,
    "acc_delta": -2, "step_size": -1,
}  # fmt: skip


@dataclass(frozen=True)
class Growth:
    """From where to where, how long.

    Attributes:
        first: size of the latents, in quantization steps, at the start of the run.
        last: the same once the steps have grown.
        share: of the run, over which they grow.
        quick: whether weights learn as fast with fine steps as with coarse ones. That
            takes rates like those of `train`; trained weights are lost by higher ones.
    """

    first: float
    last: float
    share: float
    quick: bool = True

    def spread(self, progress: float) -> float:
        """Return the size of latents at a share of the run: geometric, then flat."""
        done = 1.0 if progress >= self.share else progress / self.share
        return float(self.first * (self.last / self.first) ** done)


@torch.no_grad()
def grow_steps(model: nn.Module, optimizer: Any, factor: float) -> None:  # noqa: ANN401
    """Make the steps of a network larger by a factor, in place.

    Weights stay what they are before rounding: latents shrink, so that their gradients
    grow, and what an optimizer knows of these grows with them.
    """
    if factor == 1:
        return
    for group in latent_groups(model).values():
        group.step.mul_(factor)
    for _, _, latent in latent_weights(model):
        latent.div_(factor)
        _scale(optimizer.state.get(latent) or {}, factor)


def _scale(known: dict[str, Any], factor: float) -> None:
    """Scale what an optimizer knows of one latent, as its gradients are scaled."""
    for name, power in POWERS.items():
        value = known.get(name)
        # RMSprop's is a sum of updates, which have no scale.
        updates = name == "momentum_buffer" and "square_avg" in known
        if isinstance(value, Tensor) and not updates:
            value.mul_(factor**power)
