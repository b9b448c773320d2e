"""Rounding that passes gradients, and the noise that replaces it in the rate."""

from typing import Any

import torch
from torch import Tensor


class _RoundStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, latent: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        return torch.round(latent)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        return grads[0]


def round_ste(latent: Tensor) -> Tensor:
    """Round to the nearest integer, half to even; the gradient is the identity.

    Source: the straight-through estimator of Bengio et al. 2013, as LilNetX uses it
    for the forward pass in training and in evaluation.
    """
    return _RoundStraightThrough.apply(latent)  # type: ignore[no-any-return]


def add_uniform_noise(latent: Tensor) -> Tensor:
    """Add U(-1/2, 1/2), which replaces rounding in the rate and is differentiable.

    Source: Balle et al. 2018, equation 6.
    """
    return latent + (torch.rand_like(latent) - 0.5)
