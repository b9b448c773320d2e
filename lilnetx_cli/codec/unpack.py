"""Decoded tensors -> state dict."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

import lnx
from lilnetx_cli.codec.dtypes import TO_TORCH
from lilnetx_cli.errors import LilnetxError


def unpack(tensors: Iterable[lnx.Decoded]) -> dict[str, Tensor]:
    """Return the dense state dict; tied names share one tensor again.

    The tensors take over the memory of the arrays. Raises LilnetxError for a type that
    this release of torch does not have.
    """
    state: dict[str, Tensor] = {}
    made: dict[int, Tensor] = {}
    for tensor in tensors:
        place = id(tensor.array)
        if place not in made:
            made[place] = _to_torch(tensor)
        state[tensor.name] = made[place]
    return state


def _to_torch(tensor: lnx.Decoded) -> Tensor:
    if tensor.dtype not in TO_TORCH:
        raise LilnetxError(
            f"{tensor.name!r} has type {tensor.dtype.name}, which torch"
            f" {torch.__version__} does not have: update torch"
        )
    dtype, shape = TO_TORCH[tensor.dtype], tensor.array.shape
    data = np.ascontiguousarray(tensor.array).reshape(-1).view(np.uint8)
    if not len(data):
        return torch.empty(shape, dtype=dtype)
    if not data.flags.writeable:
        data = data.copy()
    return torch.from_numpy(data).view(dtype).reshape(shape)
