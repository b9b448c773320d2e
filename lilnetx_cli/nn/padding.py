"""Zero channels around those that come."""

import torch.nn.functional as F
from torch import Tensor, nn


class PadChannels(nn.Module):
    """Puts zero channels before and after; pruning may change how many.

    Attributes:
        before: channels put in front.
        after: channels put behind.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.before = before
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, before + C + after, H, W)."""
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        """Say how many."""
        return f"before={self.before}, after={self.after}"
