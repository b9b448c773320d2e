"""VGG for small images (Simonyan & Zisserman 2015), with one linear layer.

Five stages of 3x3 convolutions with batch norm, each followed by 2x2 pooling: of an
image of 32x32 one pixel is left, with 512 channels, which a linear layer classifies.
"""

from torch import Tensor, nn

from lilnetx_cli.models.scaling import scaled

# Convolutions of each stage, by the number of layers in the name.
STAGES = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
STAGE_CHANNELS = (64, 128, 256, 512, 512)


class CifarVGG(nn.Module):
    """Convolutions, batch norms and poolings in a row, then one linear layer."""

    def __init__(
        self, stages: tuple[int, ...], percent: int, channels: int, classes: int
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = channels
        for count, base in zip(stages, STAGE_CHANNELS, strict=True):
            for _ in range(count):
                wider = scaled(base, percent)
                layers.append(nn.Conv2d(width, wider, 3, padding=1, bias=False))
                layers += [nn.BatchNorm2d(wider), nn.ReLU(inplace=True)]
                width = wider
            # Images of 28x28 get an odd side on the way: its last row is not dropped.
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, classes)
        self._initialize()

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, classes)."""
        x = self.pool(self.features(x)).flatten(1)  # (B, C)
        return self.classifier(x)  # type: ignore[no-any-return]

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)


def cifar_vgg(
    depth: int, *, channels: int, classes: int, percent: int = 100
) -> CifarVGG:
    """Build the network of that many layers; percent scales every width."""
    return CifarVGG(STAGES[depth], percent, channels, classes)
