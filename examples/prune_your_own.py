"""Take the dead channels out of a network of your own, exactly, and export it."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

import lilnetx_cli as lilnetx


class Net(nn.Module):
    """A stem, one residual block, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.wide, self.norm = nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64)
        self.narrow = nn.Conv2d(64, 32, 1)
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, 10)."""
        x = torch.relu(self.stem(x))
        x = x + self.narrow(torch.relu(self.norm(self.wide(x))))
        return self.head(x.mean((2, 3)))


def count(network: nn.Module) -> int:
    """Return how many parameters a network has."""
    return sum(parameter.numel() for parameter in network.parameters())


torch.manual_seed(0)
dense = Net().eval()
with torch.no_grad():
    dense.wide.weight[:40] = 0  # as training with a slice prior leaves some filters

images = torch.randn(2, 3, 24, 24)
pruned = lilnetx.prune(dense, (images,))
print(f"{count(dense):,} parameters -> {count(pruned.model):,}")
print(f"largest difference of outputs: {pruned.max_abs_difference:.1e}")
assert pruned.model.wide.out_channels == 24

with TemporaryDirectory() as folder:
    path = Path(folder) / "model.lnx"
    lilnetx.save(dense, path)
    again = lilnetx.load_model(path, pruned=True, model=Net(), inputs=(images,))
    assert torch.allclose(again(images), dense(images), atol=1e-5)
