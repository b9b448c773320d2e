"""Small networks of made weights, and how two compare: no test hangs on a draw."""

import copy

import numpy as np
import torch
from torch import nn

from lilnetx_cli.graph import GraphError

REFUSED = "was not pruned for inputs of"


class Net(nn.Module):
    """What a function makes of some layers."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def made(*shape):
    """Return numbers like noise."""
    values = np.random.default_rng(len(shape)).standard_normal(shape)
    return torch.from_numpy(values).float()


@torch.no_grad()
def filled(net, bias=1.0, dead=("a", "b")):
    """Give a network made weights; half of the filters of some layers are dead.

    Dead is a filter that gives its bias: 0, or another constant.
    """
    numbers = np.random.default_rng(0)
    for parameter in net.parameters():
        values = numbers.standard_normal(parameter.shape) / 2
        parameter.copy_(torch.from_numpy(values))
    for name in dead:
        layer = net.get_submodule(name)
        half = slice(len(layer.bias) // 2)
        upwards = isinstance(layer, nn.ConvTranspose2d)
        layer.weight[(slice(None), half) if upwards else half] = 0
        layer.bias[half] = bias
    return net.eval()


@torch.no_grad()
def outputs(net, *inputs):
    """Return the tensors that a network gives; None where it takes no such inputs."""
    try:
        given = net(*inputs)
    except GraphError:
        raise
    except (RuntimeError, IndexError, ValueError):
        return None
    return list(given) if isinstance(given, (tuple, list)) else [given]


def apart(dense, smaller, *inputs):
    """Return the largest difference of copies in float64, of the largest output."""
    wide = [x.double() if x.is_floating_point() else x for x in inputs]
    wanted, found = (
        outputs(copy.deepcopy(n).double(), *wide) for n in (dense, smaller)
    )
    assert [x.shape for x in wanted] == [x.shape for x in found]
    return max(
        float((one - two).abs().max() / one.abs().max())
        for one, two in zip(wanted, found, strict=True)
    )
