"""What a slice costs where it stands: little in a busy row and column, more elsewhere.

Files code latents by classes of rows and columns, so that a slice that is not zero is
cheap among others like it. A penalty that is the same everywhere does not
see that; pressing each slice by its own cost keeps more of them in the same bytes, and
empties the rows and columns that are nearly empty. Reweighted l1 (Candes, Wakin and
Boyd 2008) is the same idea for single numbers.

Legend: O rows, I columns of a weight (O, I, *kernel).
"""

from typing import Any

import torch
from torch import Tensor

# How many slices of the usual kind each row and column is given beforehand.
PRIOR = 2.0
# Probabilities that a slice is not zero stay within these bounds, costs within those.
LEAST, MOST = 0.002, 0.95
LOWEST, HIGHEST = 0.1, 6.0
# Keeps the gradient of a slice's norm finite where the slice is exactly zero.
NORM_FLOOR = 1e-12


@torch.no_grad()
def relative_costs(latent: Tensor) -> Tensor:
    """Return the cost of each slice that is not zero, relative to their mean.

    latent: (O, I, *kernel), unrounded; (O * I,) out. The cost is -log p, with p the
    share of slices that are not zero in its row times that in its column, over that of
    the whole weight.
    """
    if latent.dim() < 2:
        return torch.ones_like(latent)
    alive = (latent.abs() > 0.5).reshape(*latent.shape[:2], -1).any(2)  # (O, I)
    found = alive.to(latent.dtype)
    usual = found.mean().clamp(LEAST, MOST)
    rows = (found.sum(1) + PRIOR * usual) / (found.shape[1] + PRIOR)  # (O,)
    columns = (found.sum(0) + PRIOR * usual) / (found.shape[0] + PRIOR)  # (I,)
    share = (torch.outer(rows, columns) / usual).clamp(LEAST, MOST)
    cost = (share.log() / usual.log()).clamp(LOWEST, HIGHEST)
    return (cost / cost.mean()).flatten()


class _SliceNorms(torch.autograd.Function):
    """Sums over slices, and their gradients in one pass."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, costs: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        norms = torch.linalg.vector_norm(rows, dim=1)  # (N,)
        ctx.save_for_backward(rows, costs)
        return norms.square().sum(), norms.sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        rows, costs = ctx.saved_tensors  # and nothing else: so it has gradients, too
        norms = (rows.square().sum(1) + NORM_FLOOR).sqrt()
        return rows * (2 * grads[0] + grads[1] * costs / norms)[:, None], None


def slice_norms(rows: Tensor, costs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums of all squares and of the norms of rows (N, L).

    The gradient of each norm is multiplied by its cost (N,); its value is not.
    """
    return _SliceNorms.apply(rows, costs)  # type: ignore[no-any-return]
