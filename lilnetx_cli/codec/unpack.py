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
            state[tensor.name] = _to_torch(tensor, container)
    return state


def _to_torch(tensor: lnx.Latent | lnx.Exact, container: lnx.Container) -> Tensor:
    dtype = TO_TORCH[tensor.dtype]
    data = bytearray(lnx.rebuild(tensor, container).tobytes())
    if not data:
        return torch.empty(tensor.shape, dtype=dtype)
    return torch.frombuffer(data, dtype=dtype).reshape(tensor.shape)
