"""The terms that make a network small, to be added to any task loss."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.latents import LatentGroup, latent_weights
from lilnetx_cli.nn.rounding import add_uniform_noise

# Keeps the gradient of a slice's norm finite where the slice is exactly zero.
NORM_FLOOR = 1e-12


@dataclass(frozen=True)
class Penalty:
    """The weighted sum and its parts, each a 0-d tensor on the model's device.

    Attributes:
        total: what to add to the task loss.
        bits_per_weight: estimated rate of the latents, in bits per weight.
        l2: mean squared latent, in steps squared.
        slice_norm: mean Euclidean norm of a slice, in steps; 0 without slices.
        weights: number of weights that are held as latents.
    """

    total: Tensor
    bits_per_weight: Tensor
    l2: Tensor
    slice_norm: Tensor
    weights: int


def penalty(
    model: nn.Module,
    *,
    rate_weight: float = 0.2,
    l2_weight: float = 0.0,
    slice_weight: float = 0.3,
) -> Penalty:
    """Return the rate, the L2 and the slice prior of a reparameterized model.

    total = rate_weight * bits_per_weight + l2_weight * l2 + slice_weight * slice_norm.
    Every part is a mean, so a weight keeps its meaning from one architecture to the
    next (LilNetX, equation 7, divides bits by a count of rows instead). In training
    the rate is that of latents with uniform noise, in evaluation of rounded ones.
    Raises ValueError for a model without latents.
    """
    groups: dict[int, tuple[LatentGroup, list[Tensor]]] = {}
    for _, parametrization, latent in latent_weights(model):
        group = parametrization.group
        rows = parametrization.rows(latent)
        groups.setdefault(id(group), (group, []))[1].append(rows)
    if not groups:
        raise ValueError("the model has no latents: call reparameterize(model) first")
    bits, squares, norms = [], [], []
    weights = slices = 0
    for group, members in groups.values():
        rows = torch.cat(members)  # (N, L)
        weights += rows.numel()
        noisy = add_uniform_noise(rows) if model.training else torch.round(rows)
        bits.append(group.density.total_bits(noisy))
        energy = rows.square().sum(1)  # (N,)
        squares.append(energy.sum())
        if group.slice_length > 1:
            slices += rows.shape[0]
            norms.append((energy + NORM_FLOOR).sqrt().sum())
    rate = torch.stack(bits).sum() / weights
    l2 = torch.stack(squares).sum() / weights
    norm = torch.stack(norms).sum() / slices if norms else torch.zeros_like(rate)
    total = rate_weight * rate + l2_weight * l2 + slice_weight * norm
    return Penalty(total, rate, l2, norm, weights)
