"""The terms that make a network small, to be added to any task loss."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.coding_cost import relative_costs, weigh_gradient
from lilnetx_cli.nn.latents import LatentGroup, latent_weights
from lilnetx_cli.nn.rounding import add_uniform_noise

# Keeps the gradient of a slice's norm finite where the slice is exactly zero.
NORM_FLOOR = 1e-12
# Weights that a training step looks at; networks up to here are seen as a whole.
RATED_WEIGHTS = 1 << 22


@dataclass(frozen=True)
class Penalty:
    """The weighted sum and its parts, each a 0-d tensor on the model's device.

    Attributes:
        total: what to add to the task loss.
        bits_per_weight: estimated rate of the latents, in bits per weight.
        l2: mean squared latent, in steps squared.
        slice_norm: mean over all weights of the Euclidean norm of their slice, in
            steps; 0 for weights without slices.
        weights: number of weights that are latents.
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
    next (LilNetX, equation 7, divides bits by a count of rows instead). Slices count by
    their weights: the few of a network of 1x1 kernels are pressed like any others. In
    training the rate is that of latents with uniform noise, in evaluation that of
    rounded latents.
    Gradients press a slice by what it costs among those of its row and column.
    Of a large network, a training step sees every k-th slice, from a random one on. The
    parts are right on average, and their cost does not grow with the network. Raises
    ValueError for a model without latents.
    """
    pairs = [(weight, latent) for _, weight, latent in latent_weights(model)]
    if not pairs:
        raise ValueError("the model has no latents: call reparameterize(model) first")
    weights = sum(latent.numel() for _, latent in pairs)
    stride = -(-weights // RATED_WEIGHTS) if model.training else 1
    groups: dict[int, tuple[LatentGroup, list[Tensor]]] = {}
    for weight, latent in pairs:
        rows = weigh_gradient(weight.rows(latent), relative_costs(latent))  # (N, L)
        members = groups.setdefault(id(weight.group), (weight.group, []))[1]
        members.append(rows if stride == 1 else _every(rows, stride))
    sums = [
        _sums(group, torch.cat(members), noisy=model.training)
        for group, members in groups.values()
    ]
    bits, squares, norms = stride * torch.stack(sums).sum(0)
    rate, l2, norm = bits / weights, squares / weights, norms / weights
    total = rate_weight * rate + l2_weight * l2 + slice_weight * norm
    return Penalty(total, rate, l2, norm, weights)


def _every(rows: Tensor, stride: int) -> Tensor:
    """Return every stride-th row from a random one on."""
    return rows[int(torch.randint(stride, ())) :: stride]


def _sums(group: LatentGroup, rows: Tensor, *, noisy: bool) -> Tensor:
    """Return bits, squares and norms, each summed over weights; (N, L) -> (3,)."""
    if not len(rows):
        return rows.new_zeros(3)
    rated = add_uniform_noise(rows) if noisy else torch.round(rows)
    energy = rows.square().sum(1)  # (N,)
    norms = group.slice_length * (energy + NORM_FLOOR).sqrt().sum()
    if group.slice_length == 1:
        norms = torch.zeros_like(norms)
    return torch.stack([group.density.total_bits(rated), energy.sum(), norms])
