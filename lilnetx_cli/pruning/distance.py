"""How far tensors are apart."""

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

TINY = 1e-30


def output_copies(output: Any) -> list[Tensor]:  # noqa: ANN401
    """Return copies of all tensors in an output, complex ones as pairs of numbers."""
    tensors = [x for x in pytree.tree_leaves(output) if isinstance(x, Tensor)]
    return [torch.view_as_real(x) if x.is_complex() else x.clone() for x in tensors]


def distance(wanted: Tensor, given: Tensor) -> float:
    """Return the largest difference of two tensors of one shape."""
    if not wanted.numel():
        return 0.0
    apart = (wanted.double() - given.double()).abs()
    same = (wanted == given) | (wanted.isnan() & given.isnan())
    worst = float(torch.where(same, 0.0, apart).max())
    return worst if worst == worst else float("inf")


def relative(wanted: Tensor, given: Tensor) -> float:
    """Return the same as a share of the largest number wanted."""
    finite = wanted.double()[wanted.isfinite()]
    size = float(finite.abs().max()) if finite.numel() else 0.0
    return distance(wanted, given) / max(size, TINY)
