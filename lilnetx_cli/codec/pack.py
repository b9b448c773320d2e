"""Checkpoint -> container."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lnx
from lilnetx_cli.codec.checkpoint import Checkpoint, LatentEntry
from lilnetx_cli.codec.dtypes import TO_FILE
from lilnetx_cli.errors import InputError
from lilnetx_cli.nn.decoding import decode_exact


def pack(checkpoint: Checkpoint) -> lnx.Container:
    """Return the container of a checkpoint; nothing is lost.

    Raises InputError if a weight is not, to the bit, what its latents decode to, or
    for a tensor of a type that files do not hold.
    """
    seen: dict[tuple[Any, ...], str] = {}
    tensors: list[lnx.Latent | lnx.Exact | lnx.Alias] = []
    for name, tensor in checkpoint.state_dict.items():
        dense = isinstance(tensor, Tensor) and tensor.layout is torch.strided
        if not dense or tensor.is_meta or tensor.is_quantized or tensor.is_nested:
            raise InputError(f"{name!r} in the state dict is no dense tensor")
        place = _place(tensor)
        if tensor.numel() and place in seen:
            tensors.append(lnx.Alias(name, seen[place]))
            continue
        seen[place] = name
        entry = checkpoint.latents.get(name)
        if entry is None:
            tensors.append(_exact(name, tensor))
        else:
            tensors.append(_latent(name, tensor, entry, checkpoint.decoders))
    decoders = tuple(decoder.numpy() for decoder in checkpoint.decoders)
    return lnx.Container(
        tuple(tensors), decoders, checkpoint.architecture, checkpoint.summary
    )


def to_bytes(tensor: Tensor) -> NDArray[np.uint8]:
    """Return the elements of a tensor in C order as bytes."""
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if not flat.numel():
        return np.zeros(0, np.uint8)
    array: NDArray[np.uint8] = flat.view(torch.uint8).numpy()
    return array


def _place(tensor: Tensor) -> tuple[Any, ...]:
    """Return what two names of one tensor have in common."""
    start = tensor.untyped_storage().data_ptr()
    offset = tensor.storage_offset()
    return start, offset, tensor.dtype, tensor.shape, tensor.stride()


def _exact(name: str, tensor: Tensor) -> lnx.Exact:
    if tensor.dtype not in TO_FILE:
        raise InputError(f"{name!r} has type {tensor.dtype}, which files do not hold")
    shape = tuple(tensor.shape)
    return lnx.Exact(name, TO_FILE[tensor.dtype], shape, to_bytes(tensor))


def _latent(
    name: str, tensor: Tensor, entry: LatentEntry, decoders: tuple[Tensor, ...]
) -> lnx.Latent:
    if not 0 <= entry.decoder < len(decoders):
        raise InputError(f"{name!r} has no decoder {entry.decoder}")
    weight = decode_exact(entry.symbols, decoders[entry.decoder]).reshape(tensor.shape)
    if not np.array_equal(to_bytes(weight), to_bytes(tensor)):
        raise InputError(
            f"weights of {name!r} are not what its latents decode to: the checkpoint"
            " was changed after training, finalize it again"
        )
    symbols = entry.symbols.contiguous().numpy()
    return lnx.Latent(name, tuple(tensor.shape), symbols, entry.decoder)
