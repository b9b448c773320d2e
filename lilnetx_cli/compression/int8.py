"""What most deploy: weights as int8 with a scale for each output channel, and zstd.

Here to be compared with; nothing but `load_int8` reads such files.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from torch import Tensor

import lnx

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

LEVEL = 19
LARGEST = 127
LEAST_SCALE = 1e-30
SCALE = ":scale"  # after the name of the weight


def save_int8(state: Mapping[str, Tensor], path: Path) -> int:
    """Round the weights of a state dict, write it, and return the bytes of the file.

    Weights are float tensors of two or more dimensions; all else is kept.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.dim() < 2 or not tensor.is_floating_point():
            found[name] = tensor.clone(memory_format=torch.contiguous_format)
            continue
        rows = tensor.float().reshape(len(tensor), -1)  # (output channels, others)
        scale = rows.abs().amax(1, keepdim=True) / LARGEST
        numbers = torch.round(rows / scale.clamp_min(LEAST_SCALE)).to(torch.int8)
        found[name], found[name + SCALE] = numbers.reshape(tensor.shape), scale
    data = zstd.compress(safetensors.torch.save(found), level=LEVEL)
    lnx.write_atomic(data, path)
    return len(data)


def load_int8(path: Path) -> dict[str, Tensor]:
    """Return the state dict that a file of `save_int8` stands for, in float32."""
    state = safetensors.torch.load(zstd.decompress(path.read_bytes()))
    scales = {name: state.pop(name) for name in list(state) if name.endswith(SCALE)}
    for name, scale in scales.items():
        weight = name.removesuffix(SCALE)
        numbers = state[weight]
        rows = numbers.reshape(len(numbers), -1) * scale
        state[weight] = rows.reshape(numbers.shape)
    return state
