"""Which layers a `Constant` may stand for."""

from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from lilnetx_cli.nn.constant import Constant


def constant_of(module: nn.Module, value: Tensor) -> Constant | None:
    """Return what a layer that gives only constants may be; None where it may not."""
    if not type(module).__module__.startswith("torch.nn.modules"):
        return None  # may do more than its base
    if module._forward_hooks or module._forward_pre_hooks:
        return None
    if isinstance(module, nn.Linear):
        return Constant(value, -1)
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        return Constant(value, 1)
    if isinstance(module, _ConvNd) and not isinstance(module, _ConvTransposeNd):
        return Constant(value, -1 - len(module.kernel_size), _geometry(module))
    return None


def _geometry(conv: _ConvNd) -> tuple[tuple[int, ...], ...]:
    numbers: Any = zip(
        conv.kernel_size, conv.stride, _paddings(conv), conv.dilation, strict=True
    )
    return tuple(numbers)


def _paddings(conv: _ConvNd) -> list[int]:
    """Return what padding adds to each dimension, both sides together."""
    if conv.padding == "valid":
        return [0] * len(conv.kernel_size)
    if conv.padding == "same":
        spans = zip(conv.dilation, conv.kernel_size, strict=True)
        return [dilation * (kernel - 1) for dilation, kernel in spans]
    return [2 * int(amount) for amount in conv.padding]
