"""What is known of a tensor: the channel of each index, and what is constant.

A grid has the dimensions of its tensor, but size 1 along those where nothing changes:
that of activations (B, C, H, W) is (1, C, 1, 1).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lilnetx_cli.graph.union_find import FIXED


@dataclass(frozen=True, eq=False)
class Grid:
    """One tensor.

    Attributes:
        shape: of the tensor.
        labels: int64 grid: which channel an index belongs to, one that is fixed for
            none.
        known: bool grid: the value is the same for all inputs.
        value: float64 grid: that value, 0 where it is not known.
    """

    shape: tuple[int, ...]
    labels: Tensor
    known: Tensor
    value: Tensor

    def each(self, function: Callable[[Tensor], Tensor]) -> "Grid":
        """Apply a function of whole tensors to all three grids."""
        labels = function(self.labels.expand(self.shape))
        known = function(self.known.expand(self.shape))
        value = function(self.value.expand(self.shape))
        shape = tuple(labels.shape)
        return Grid(shape, collapse(labels), collapse(known), collapse(value))

    def axes(self) -> list[int]:
        """Return the dimensions along which labels change."""
        return [axis for axis, size in enumerate(self.labels.shape) if size > 1]

    def along(self, axis: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return labels, known and value along one dimension, (n,) each.

        Labels must change along no other. What is known of only a part of the indices
        counts as not known.
        """
        size = self.shape[axis]
        labels = _spread(self.labels, axis, size)[:, 0]
        known = _spread(self.known, axis, size)
        value = _spread(self.value, axis, size)
        same = known.all(1) & (value == value[:, :1]).all(1)
        return labels, same, torch.where(same, value[:, 0], 0.0)

    def settled(self) -> "Grid":
        """Return a grid that knows values only where all places of a channel agree."""
        known, value = self.known, self.value
        wide = set(self.axes())
        for axis in range(len(self.shape)):
            if axis in wide or (known.shape[axis] < 2 and value.shape[axis] < 2):
                continue
            form = np.broadcast_shapes(known.shape, value.shape)
            full, values = known.expand(form), value.expand(form)
            first = values.narrow(axis, 0, 1)
            same = (values == first).all(axis, keepdim=True)
            known = full.all(axis, keepdim=True) & same
            value = torch.where(known, first, 0.0)
        return replace(self, known=known, value=value)

    def forget(self) -> "Grid":
        """Return the same channels, with no value known."""
        other = unknown(self.shape)
        return replace(other, labels=self.labels)


def unknown(shape: tuple[int, ...], label: int = FIXED) -> Grid:
    """Return the grid of a tensor of unknown values, whose indices all stay."""
    zeros = torch.zeros((1,) * len(shape))
    labels = torch.full_like(zeros, label, dtype=torch.int64)
    return Grid(tuple(shape), labels, zeros.bool(), zeros.double())


def channels(
    shape: tuple[int, ...], axis: int, labels: Tensor, known: Tensor, value: Tensor
) -> Grid:
    """Return the grid of a tensor with channels along one dimension."""
    ones = [1] * len(shape)
    ones[axis] = shape[axis]
    value = torch.where(known, value, 0.0)
    return Grid(
        tuple(shape), labels.reshape(ones), known.reshape(ones), value.reshape(ones)
    )


def collapse(grid: Tensor) -> Tensor:
    """Return a grid with size 1 along all dimensions where nothing changes."""
    for axis in range(grid.dim()):
        size = grid.shape[axis]
        if size < 2:
            continue
        first = grid.narrow(axis, 0, 1)
        if grid.stride(axis) == 0 or bool((grid == first).all()):
            grid = first
    return grid


def _spread(grid: Tensor, axis: int, size: int) -> Tensor:
    """Return a grid as (size of the axis, all else)."""
    moved = grid.movedim(axis, 0)
    return moved.reshape(moved.shape[0], math.prod(moved.shape[1:])).expand(size, -1)
