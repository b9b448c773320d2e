"""The terms that make a network small, to be added to any task loss."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.channel_prior import Channels, channel_penalty
from lilnetx_cli.nn.coding_cost import relative_costs, slice_norms
from lilnetx_cli.nn.latents import LatentGroup, LatentWeight, latent_weights

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
        channel_norm: mean over channels of the RMS of their latents, in steps, weighted
            by their share of the MACs, without the strongest of each layer; 0 where no
            channels are given.
        weights: number of weights that are latents.
    """

    total: Tensor
    bits_per_weight: Tensor
    l2: Tensor
    slice_norm: Tensor
    channel_norm: Tensor
    weights: int


def penalty(
    model: nn.Module,
    *,
    rate_weight: float = 0.2,
    l2_weight: float = 0.0,
    slice_weight: float = 0.3,
    channel_weight: float = 0.0,
    channels: Channels | None = None,
) -> Penalty:
    """Return the rate, the L2 and the priors of a reparameterized model.

    total = rate_weight * bits_per_weight + l2_weight * l2 + slice_weight * slice_norm
    + channel_weight * channel_norm, the last with `channels` (`coupled_channels`).
    Every part is a mean, so a weight keeps its meaning from one architecture to the
    next (LilNetX, equation 7, divides bits by a count of rows instead). Slices count by
    their weights: the few of a network of 1x1 kernels are pressed like any others. In
    training the rate is the mean over latents with uniform noise, in evaluation that of
    rounded latents.
    The slice prior weights a slice by its cost in its row and column: this scales
    its gradient, not its value.
    Of a large network, a training step sees every k-th slice, from a random one on. The
    parts are right on average, and their cost does not grow with the network. Raises
    ValueError for a model without latents.
    """
    pairs = [(weight, latent) for _, weight, latent in latent_weights(model)]
    if not pairs:
        raise ValueError("the model has no latents: call reparameterize(model) first")
    weights = sum(latent.numel() for _, latent in pairs)
    stride = -(-weights // RATED_WEIGHTS) if model.training else 1
    groups: dict[int, tuple[LatentGroup, list[Tensor], list[Tensor]]] = {}
    for weight, latent in pairs:
        rows, costs = weight.rows(latent), _costs(weight, latent)  # (N, L), (N,)
        if stride > 1:
            seen = slice(int(torch.randint(stride, ())), None, stride)
            rows, costs = rows[seen], costs[seen]
        _, members, prices = groups.setdefault(id(weight.group), (weight.group, [], []))
        members.append(rows)
        prices.append(costs)
    sums = [
        _sums(group, torch.cat(members), torch.cat(prices), noisy=model.training)
        for group, members, prices in groups.values()
    ]
    bits, squares, norms = stride * torch.stack(sums).sum(0)
    rate, l2, norm = bits / weights, squares / weights, norms / weights
    channel = torch.zeros_like(norm)
    if channels is not None:
        channel = channel_penalty(model, channels)
    total = rate_weight * rate + l2_weight * l2 + slice_weight * norm
    total = total + channel_weight * channel
    return Penalty(total, rate, l2, norm, channel, weights)


def _costs(weight: LatentWeight, latent: Tensor) -> Tensor:
    """Return what the slice prior presses each slice by; 1 where it has none."""
    if weight.group.slice_length == 1:
        return torch.ones_like(latent).flatten()
    return relative_costs(latent)


def _sums(group: LatentGroup, rows: Tensor, costs: Tensor, *, noisy: bool) -> Tensor:
    """Return bits, squares and norms, each summed over weights.

    (N, L) and (N,) -> (3,).
    """
    if not len(rows):
        return rows.new_zeros(3)
    density = group.density
    bits = density.total_bits(rows if noisy else torch.round(rows), mean=noisy)
    energy, norms = slice_norms(rows, costs)
    norms = group.slice_length * norms
    if group.slice_length == 1:
        norms = torch.zeros_like(norms)
    return torch.stack([bits, energy, norms])
