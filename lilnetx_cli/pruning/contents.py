"""What a file of a pruned network holds: the integers of the dense one, cut."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

import lnx
from lilnetx_cli.checkpoint import capture, pack
from lilnetx_cli.pruning.prune import Pruned
from lnx.dtypes import can_widen, widen
from lnx.tensors.trellis import expand


def pruned_container(dense: lnx.Container, pruned: Pruned) -> lnx.Container:
    """Return the container of a pruned network, given that of the dense one.

    Latents that are left stay as they are, with their decoders, wherever a cut does not
    run through a slice; those of a trellis, where each cell depends on those before it,
    become plain ones. All other tensors are exact. The records are those of the dense
    network.
    """
    plain = pack(capture(pruned.model))
    names = {tensor.name for tensor in dense.tensors}
    tensors: list[lnx.Latent | lnx.Exact | lnx.Alias] = []
    for tensor in plain.tensors:
        own = dense.resolve(tensor.name) if tensor.name in names else None
        if isinstance(tensor, lnx.Exact) and isinstance(own, lnx.Latent):
            latent = _cut(replace(own, name=tensor.name), pruned)
            if latent is not None and _is_same(latent, tensor, dense):
                tensors.append(latent)
                continue
        tensors.append(tensor)
    used = sorted({x.decoder for x in tensors if isinstance(x, lnx.Latent)})
    return replace(
        dense,
        tensors=tuple(
            replace(x, decoder=used.index(x.decoder))
            if isinstance(x, lnx.Latent)
            else x
            for x in tensors
        ),
        decoders=tuple(dense.decoders[number] for number in used),
    )


def _cut(latent: lnx.Latent, pruned: Pruned) -> lnx.Latent | None:
    """Return the latents that stay; None where a slice stays in part."""
    symbols = expand(latent.symbols) if latent.trellis else latent.symbols
    length = symbols.shape[1]
    whole = torch.from_numpy(np.array(symbols)).reshape(latent.shape)
    left = pruned.slicing.of(latent.name, whole)
    if left is whole:
        return latent
    if length > 1:
        count = torch.arange(whole.numel(), dtype=torch.int32).reshape(latent.shape)
        if not _are_whole(pruned.slicing.of(latent.name, count).reshape(-1), length):
            return None
    rows = np.ascontiguousarray(left.reshape(-1, length).numpy())
    shape = tuple(left.shape)
    return replace(latent, shape=shape, symbols=rows, trellis=False)


def _are_whole(places: Tensor, length: int) -> bool:
    """Tell whether places of cells, (N * L,), are those of whole slices."""
    if len(places) % length:
        return False
    rows = places.reshape(-1, length)  # (N, L)
    first = rows[:, :1]
    steps = torch.arange(length, dtype=places.dtype)
    return bool((first % length == 0).all()) and torch.equal(rows, first + steps)


def _is_same(latent: lnx.Latent, exact: lnx.Exact, dense: lnx.Container) -> bool:
    """Tell whether latents decode to the numbers of a tensor, maybe of a wider type."""
    if latent.shape != exact.shape:
        return False
    weight = np.ascontiguousarray(lnx.rebuild(latent, dense)).reshape(-1)
    data = weight.view(np.uint8)
    if latent.dtype != exact.dtype:
        if not can_widen(latent.dtype, exact.dtype):
            return False
        data = widen(data, latent.dtype, exact.dtype)
    return np.array_equal(data, exact.data)
