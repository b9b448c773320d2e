"""Names of channels: integers, of which some turn out to mean the same channel."""

import numpy as np
import torch
from torch import Tensor

FIXED = 0  # the class of everything that cannot be taken out


class Labels:
    """A union-find over labels; class 0 holds what is fixed."""

    def __init__(self) -> None:
        self._parents = [FIXED]

    def fresh(self, count: int) -> Tensor:
        """Return new labels, (count,) int64; a single channel is fixed."""
        if count < 2:
            return torch.zeros(count, dtype=torch.int64)
        start = len(self._parents)
        self._parents.extend(range(start, start + count))
        return torch.arange(start, start + count)

    def unify(self, left: Tensor, right: Tensor) -> None:
        """Say that labels of two tensors that broadcast mean the same, one by one."""
        shape = np.broadcast_shapes(left.shape, right.shape)
        ones, others = (x.expand(shape).reshape(-1).tolist() for x in (left, right))
        for first, second in set(zip(ones, others, strict=True)):
            if first != second:
                self._join(first, second)

    def fix(self, labels: Tensor) -> None:
        """Say that channels cannot be taken out."""
        self.unify(labels, torch.zeros((), dtype=torch.int64))

    def roots(self) -> Tensor:
        """Return the class of every label, named by its smallest member."""
        return torch.tensor([self._find(x) for x in range(len(self._parents))])

    def _find(self, label: int) -> int:
        parents = self._parents
        while parents[label] != label:
            parents[label] = parents[parents[label]]
            label = parents[label]
        return label

    def _join(self, first: int, second: int) -> None:
        one, two = self._find(first), self._find(second)
        self._parents[max(one, two)] = min(one, two)
