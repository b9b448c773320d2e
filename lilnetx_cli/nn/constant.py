"""A layer of which nothing is left but its bias, and which layers it may stand for."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd


class Constant(nn.Module):
    """Gives the same for every input, in the shape that a layer would give.

    Args:
        value: one number a channel, (C,).
        axis: the dimension of channels; counted from the end where a batch may be
            missing in front.
        geometry: kernel size, stride, padding and dilation of a convolution, a tuple a
            dimension; empty where the shape stays.
    """

    value: Tensor

    def __init__(
        self, value: Tensor, axis: int, geometry: tuple[tuple[int, ...], ...] = ()
    ) -> None:
        super().__init__()
        self.register_buffer("value", value)
        self.axis = axis
        self.geometry = geometry

    def forward(self, x: Tensor) -> Tensor:
        """(B, any, *) -> (B, C, *), and without B for a layer that takes that."""
        shape = list(x.shape)
        shape[self.axis] = len(self.value)
        for number, (kernel, stride, padding, dilation) in enumerate(self.geometry):
            place = len(shape) - len(self.geometry) + number
            span = dilation * (kernel - 1) + 1
            shape[place] = (shape[place] + padding - span) // stride + 1
        form = [1] * len(shape)
        form[self.axis] = len(self.value)
        wide = self.value.to(x.dtype).reshape(form).expand(shape)
        return wide.clone(memory_format=torch.contiguous_format)  # others may write

    def extra_repr(self) -> str:
        """Say what is given."""
        return f"{len(self.value)} channels, axis={self.axis}"


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
