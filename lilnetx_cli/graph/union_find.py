"""Names of channels: integers, of which some turn out to mean the same channel."""

import numpy as np
import torch
from torch import Tensor

FIXED = 0  # the class of everything that cannot be taken out
NOT_FOLLOWED = "joined with a tensor whose channels are not followed"
ONLY_ONE = "the only channel of a layer"


class Labels:
    """A union-find over labels; what is fixed, and why.

    A class that is fixed takes no more members: what meets it is fixed for the same
    reason, and remembers that.
    """

    def __init__(self) -> None:
        self._parents = [FIXED]
        self._reasons = {FIXED: NOT_FOLLOWED}  # by root

    def fresh(self, count: int) -> Tensor:
        """Return new labels, (count,) int64; a single channel is fixed."""
        start = len(self._parents)
        self._parents.extend(range(start, start + count))
        labels = torch.arange(start, start + count)
        if count == 1:
            self.fix(labels, ONLY_ONE)
        return labels

    def fixed(self, reason: str) -> int:
        """Return a label for what can never be taken out."""
        label = len(self._parents)
        self._parents.append(label)
        self._reasons[label] = reason
        return label

    def unify(self, left: Tensor, right: Tensor) -> None:
        """Say that labels of two tensors that broadcast mean the same, one by one."""
        shape = np.broadcast_shapes(left.shape, right.shape)
        ones, others = (x.expand(shape).reshape(-1).tolist() for x in (left, right))
        for first, second in set(zip(ones, others, strict=True)):
            if first != second:
                self._join(first, second)

    def fix(self, labels: Tensor, reason: str) -> None:
        """Say that channels cannot be taken out, and why, in a short phrase."""
        for label in set(labels.reshape(-1).tolist()):
            self._reasons.setdefault(self.find(label), reason)

    def roots(self) -> Tensor:
        """Return the class of every label, named by its smallest member."""
        found = (self.find(x) for x in range(len(self._parents)))
        return torch.tensor([FIXED if x in self._reasons else x for x in found])

    def reasons(self) -> dict[int, str]:
        """Return why each label that is fixed is so."""
        found = ((x, self.find(x)) for x in range(len(self._parents)))
        return {x: self._reasons[root] for x, root in found if root in self._reasons}

    def find(self, label: int) -> int:
        """Return the class that a label is in so far, by one of its members."""
        parents = self._parents
        while parents[label] != label:
            parents[label] = parents[parents[label]]
            label = parents[label]
        return label

    def _join(self, first: int, second: int) -> None:
        one, two = sorted((self.find(first), self.find(second)))
        reason = self._reasons.get(one, self._reasons.get(two))
        if reason is None:
            self._parents[two] = one
        else:
            self._reasons.setdefault(one, reason)
            self._reasons.setdefault(two, reason)
