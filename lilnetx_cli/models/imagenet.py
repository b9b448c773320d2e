"""Classification networks of torchvision by name, and MobileNet-V2 for 32x32.

Names are looked up in torchvision's own list: a name from a file can build a network of
that list and do nothing else.
"""

from typing import Any

import torch
from torch import nn

from lilnetx_cli.errors import suggestion

# Expansion, channels, repeats and stride of each stage of MobileNet-V2 (Sandler et al.
# 2018, table 2). For small images the first two strides are 1, as in ports to CIFAR.
SMALL_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
PREFIX = "torchvision:"


def torchvision_names() -> list[str]:
    """Return the classification networks of torchvision."""
    from torchvision import models

    names: list[str] = models.list_models(module=models)
    return names


def torchvision_network(name: str, *, channels: int, classes: int) -> nn.Module:
    """Build a classification network of torchvision, without trained weights.

    Raises ValueError for other names.
    """
    from torchvision import models

    names = torchvision_names()
    if name not in names and name in models.list_models():
        raise ValueError(
            f"torchvision's {name!r} is not a classifier: write a function"
            " that builds it, and name it as path/file.py:function"
        )
    if name not in names:
        hint = suggestion(name, names, "")
        raise ValueError(f"torchvision has no classification network {name!r}{hint}")
    options: dict[str, Any] = {"num_classes": classes}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    return with_channels(models.get_model(name, weights=None, **options), channels)


def mobilenet_v2(*, channels: int, classes: int, percent: int = 100) -> nn.Module:
    """Build MobileNet-V2 for images of 224x224."""
    from torchvision.models import MobileNetV2

    return with_channels(MobileNetV2(classes, percent / 100), channels)


def mobilenet_v2_cifar(*, channels: int, classes: int, percent: int = 100) -> nn.Module:
    """Build MobileNet-V2 for images of about 32x32, with two fewer strides of 2."""
    from torchvision.models import MobileNetV2

    stages = [list(stage) for stage in SMALL_STAGES]
    network = MobileNetV2(classes, percent / 100, stages)
    network.features[0][0].stride = (1, 1)
    return with_channels(network, channels)


def with_channels(network: nn.Module, channels: int) -> nn.Module:
    """Give a network for color images a new first convolution, for other images."""
    if channels == 3:
        return network
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.in_channels = channels
            shape = (module.out_channels, channels, *module.kernel_size)
            module.weight = nn.Parameter(torch.empty(shape))
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            return network
    raise ValueError("the network has no convolution to give another first layer")
