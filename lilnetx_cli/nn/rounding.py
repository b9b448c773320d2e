"""Rounding that passes gradients."""

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
