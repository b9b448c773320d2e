"""Layers of which hardly anything is left: named, and never lost as a whole.

A layer without any weight makes the output of a plain chain of layers the same for all
inputs, and no gradient brings it back.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.latents import latent_weights

# A layer is nearly gone when at most one filter in so many is left.
FILTERS_TO_ONE = 32
FEWEST = 8  # filters of a layer that is worth a word


@dataclass(frozen=True)
class Thin:
    """A layer of which few filters have a weight that is not zero."""

    name: str
    left: int
    filters: int


@torch.no_grad()
def thin_layers(model: nn.Module) -> list[Thin]:
    """Return the weights that hardly have a filter left."""
    found = []
    for name, _, latent in latent_weights(model):
        filters = len(latent)
        if latent.dim() < 2 or filters < FEWEST:
            continue
        left = int(latent.flatten(1).abs().gt(0.5).any(1).sum())
        if left <= max(1, filters // FILTERS_TO_ONE):
            found.append(Thin(name, left, filters))
    return found


@torch.no_grad()
def spare_last(model: nn.Module) -> None:
    """Keep one latent of every weight alive, in place: the largest becomes 1 or -1."""
    for _, _, latent in latent_weights(model):
        latent.copy_(with_one_left(latent, latent))


def with_one_left(latent: Tensor, before: Tensor) -> Tensor:
    """Return latents, with one of size 1 where all round to zero.

    It stands, with its sign, where those of `before`, of the same shape, are largest.
    """
    if not latent.numel() or bool((latent.abs() > 0.5).any()):
        return latent
    found = latent.clone().flatten()
    place = before.abs().argmax()
    found[place] = 1.0 if before.flatten()[place] >= 0 else -1.0
    return found.view_as(latent)
