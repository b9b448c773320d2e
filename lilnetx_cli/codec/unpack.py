"""Container -> state dict."""

import torch
from torch import Tensor

import lnx
from lilnetx_cli.codec.dtypes import TO_TORCH


def unpack(container: lnx.Container) -> dict[str, Tensor]:
    """Return the dense state dict; tied names share one tensor again."""
    state: dict[str, Tensor] = {}
    for tensor in container.tensors:
        if isinstance(tensor, lnx.Alias):
            state[tensor.name] = state[tensor.target]
        else:
            array = lnx.rebuild(tensor, container)
            flat = torch.from_numpy(array.reshape(-1).view("u1").copy())
            typed = flat.view(TO_TORCH[tensor.dtype])
            state[tensor.name] = typed.reshape(tensor.shape)
    return state
