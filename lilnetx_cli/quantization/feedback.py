"""Rounding with error feedback: what one column loses, later columns make up for.

A layer computes W x. Rounding a weight changes the outputs, but columns of inputs that
look alike can take the change back. Source: OPTQ (arXiv 2210.17323), with its Cholesky
form; the shift toward the inputs of the rounded network is that of GPTAQ (arXiv
2504.02692).

Legend: R rows (outputs), K columns (inputs of a row), H (K, K) second moments of
inputs. Of several matrices at once, these are the last two dimensions.
"""

import torch
from torch import Tensor

DAMPING = 0.1  # of the mean of the diagonal, added to it; 0.01 to 0.5 do as well
BLOCK = 64  # columns whose effect on later ones is applied at once
MOST_INDEX = 2**24  # beyond it float32 does not hold integers


def damped(moments: Tensor) -> Tensor:
    """Return moments in float64 with a larger diagonal, so that they can be inverted.

    A column that no input reaches gets the mean, and so keeps its own rounding.
    """
    found = moments.double().clone()
    diagonal = found.diagonal(dim1=-2, dim2=-1)  # (..., K), a view
    mean = diagonal.mean(-1, keepdim=True)
    mean = torch.where(mean == 0, 1.0, mean)
    diagonal.copy_(torch.where(diagonal > 0, diagonal + DAMPING * mean, mean))
    return found


def feedback_factor(moments: Tensor) -> Tensor:
    """Return C, upper triangular, C^T C the inverse of damped moments; (..., K, K).

    Turned around, the Cholesky factor of the moments is an upper one, U U^T, and C is
    its inverse.
    """
    turned = torch.linalg.cholesky(damped(moments).flip(-2, -1))
    upper = turned.flip(-2, -1)
    one = torch.eye(upper.shape[-1], dtype=upper.dtype, device=upper.device)
    factor: Tensor = torch.linalg.solve_triangular(upper, one, upper=True)
    return factor


def shifted(weights: Tensor, moments: Tensor, cross: Tensor, factor: Tensor) -> Tensor:
    """Return the weights that make of other inputs what `weights` make of theirs.

    weights: (R, K). moments: (K, K) of the other inputs, and their factor. cross:
    (K, K), the mean of x y^T with x the inputs that the weights are of, and y the
    others.
    """
    wanted = weights @ (cross - moments)  # (R, K)
    return weights + wanted @ factor.T @ factor


def round_with_feedback(weights: Tensor, factor: Tensor, step: float) -> Tensor:
    """Round the rows of matrices to multiples of a step; (..., R, K) int32 indices.

    Columns go in order; what rounding column i loses, times C_ij / C_ii, is taken off
    column j > i.
    """
    left = weights.double().clone()
    indices = torch.empty(left.shape, dtype=torch.int32)
    pivots = factor.diagonal(dim1=-2, dim2=-1)[..., None, :]  # (..., 1, K)
    count = left.shape[-1]
    for start in range(0, count, BLOCK):
        stop = min(count, start + BLOCK)
        errors = torch.empty(*left.shape[:-1], stop - start, dtype=left.dtype)
        for i in range(start, stop):
            index = torch.round(left[..., i] / step).clamp_(-MOST_INDEX, MOST_INDEX)
            indices[..., i] = index.to(torch.int32)
            error = (left[..., i] - index * step) / pivots[..., i]  # (..., R)
            errors[..., i - start] = error
            after = factor[..., i, None, i + 1 : stop]  # (..., 1, K')
            left[..., i + 1 : stop] -= error[..., None] * after
        left[..., stop:] -= errors @ factor[..., start:stop, stop:]
    return indices
