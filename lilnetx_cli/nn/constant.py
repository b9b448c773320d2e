"""A layer of which nothing is left but its bias."""

import torch
from torch import Tensor, nn


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
