"""Residual networks for small images (He et al. 2015, section 4.2).

Shortcuts that change shape subsample and pad with zero channels (option A), so they
hold no weights: 20 layers of width 1 have 0.27 M parameters.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from lilnetx_cli.nn.padding import PadChannels

STAGE_CHANNELS = (16, 32, 64)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(channels_in, channels_out, stride)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = _conv3x3(channels_out, channels_out, 1)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.stride = stride
        new = channels_out - channels_in
        self.pad = PadChannels(new // 2, new - new // 2) if new else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))

    def shortcut(self, x: Tensor) -> Tensor:
        """Subsample in space and pad with zero channels on both sides."""
        if self.stride != 1:
            x = x[:, :, :: self.stride, :: self.stride]
        return self.pad(x)  # type: ignore[no-any-return]


class CifarResNet(nn.Module):
    """A stem, three stages of blocks, global average pooling, a linear head."""

    def __init__(self, blocks: int, width: int, channels: int, classes: int) -> None:
        super().__init__()
        stage_in = STAGE_CHANNELS[0] * width
        self.conv1 = _conv3x3(channels, stage_in, 1)
        self.bn1 = nn.BatchNorm2d(stage_in)
        for number, base in enumerate(STAGE_CHANNELS, start=1):
            stage_out = base * width
            stage = _stage(blocks, stage_in, stage_out, stride=1 if number == 1 else 2)
            self.add_module(f"layer{number}", stage)
            stage_in = stage_out
        self.fc = nn.Linear(stage_in, classes)
        self._initialize()

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, classes)."""
        x = F.relu(self.bn1(self.conv1(x)))
        for number in range(1, len(STAGE_CHANNELS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return self.fc(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.fc.bias)


def cifar_resnet(
    depth: int, *, channels: int, classes: int, width: int = 1
) -> CifarResNet:
    """Build the network of 6 n + 2 layers; raises ValueError for other depths."""
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"depth {depth} is not 6 n + 2")
    if width < 1:
        raise ValueError(f"width {width} is below 1")
    return CifarResNet((depth - 2) // 6, width, channels, classes)


def _conv3x3(channels_in: int, channels_out: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)


def _stage(
    blocks: int, channels_in: int, channels_out: int, stride: int
) -> nn.Sequential:
    first = BasicBlock(channels_in, channels_out, stride)
    rest = [BasicBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)
