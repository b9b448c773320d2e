"""Checkpoint <-> container, and the element types of both."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lnx
from lilnetx_cli.checkpoint.model_pt import Checkpoint, LatentEntry
from lilnetx_cli.errors import InputError, LilnetxError
from lnx import DType

TO_FILE: dict[torch.dtype, DType] = {
    torch.bool: DType.BOOL,
    torch.uint8: DType.U8,
    torch.int8: DType.I8,
    torch.uint16: DType.U16,
    torch.int16: DType.I16,
    torch.uint32: DType.U32,
    torch.int32: DType.I32,
    torch.uint64: DType.U64,
    torch.int64: DType.I64,
    torch.float16: DType.F16,
    torch.bfloat16: DType.BF16,
    torch.float32: DType.F32,
    torch.float64: DType.F64,
    torch.float8_e4m3fn: DType.F8_E4M3,
    torch.float8_e5m2: DType.F8_E5M2,
    torch.complex64: DType.C64,
}

# Types that older releases of torch do not have.
for _name, _code in (
    ("float8_e4m3fnuz", DType.F8_E4M3FNUZ),
    ("float8_e5m2fnuz", DType.F8_E5M2FNUZ),
    ("float8_e8m0fnu", DType.F8_E8M0),
    ("float4_e2m1fn_x2", DType.F4_X2),
):
    if hasattr(torch, _name):
        TO_FILE[getattr(torch, _name)] = _code

TO_TORCH: dict[DType, torch.dtype] = {file: own for own, file in TO_FILE.items()}


def pack(checkpoint: Checkpoint) -> lnx.Container:
    """Return the container of a checkpoint; nothing is lost.

    Raises InputError if a weight is not, to the bit, what its latents decode to, or
    for a tensor of a type that files do not hold.
    """
    decoders = tuple(decoder.numpy() for decoder in checkpoint.decoders)
    seen: dict[tuple[Any, ...], str] = {}
    tensors: list[lnx.Latent | lnx.Exact | lnx.Alias] = []
    for name, tensor in checkpoint.state_dict.items():
        dense = isinstance(tensor, Tensor) and tensor.layout is torch.strided
        if not dense or tensor.is_meta or tensor.is_quantized or tensor.is_nested:
            raise InputError(f"{name!r} in the state dict is not a dense tensor")
        place = _place(tensor)
        if tensor.numel() and place in seen:
            tensors.append(lnx.Alias(name, seen[place]))
            continue
        seen[place] = name
        entry = checkpoint.latents.get(name)
        if entry is None:
            tensors.append(_exact(name, tensor))
        else:
            tensors.append(_latent(name, tensor, entry, decoders))
    return lnx.Container(
        tuple(tensors),
        decoders,
        checkpoint.architecture,
        checkpoint.training,
        checkpoint.metadata,
    )


def to_bytes(tensor: Tensor) -> NDArray[np.uint8]:
    """Return the elements of a tensor in C order as bytes."""
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if not flat.numel():
        return np.zeros(0, np.uint8)
    flat = flat.as_strided(flat.shape, (1,))  # of one element it may be any other
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
    name: str,
    tensor: Tensor,
    entry: LatentEntry,
    decoders: tuple[NDArray[np.float32], ...],
) -> lnx.Latent:
    if not 0 <= entry.decoder < len(decoders):
        raise InputError(f"{name!r} has no decoder {entry.decoder}")
    symbols, decoder = entry.symbols.contiguous().numpy(), decoders[entry.decoder]
    sizes = ((1, 1), (symbols.shape[-1],) * 2) if symbols.ndim == 2 else ()
    if symbols.size != tensor.numel() or decoder.shape not in sizes:
        raise InputError(f"latents of {name!r} do not fit its shape and its decoder")
    latent = lnx.Latent(name, tuple(tensor.shape), symbols, entry.decoder)
    weight = lnx.rebuild(latent, decoders)
    if not np.array_equal(weight.reshape(-1).view(np.uint8), to_bytes(tensor)):
        raise InputError(
            f"weights of {name!r} are not what its latents decode to: the checkpoint"
            " was changed after training, finalize it again"
        )
    return latent


def unpack(
    tensors: Iterable[lnx.Decoded], *, copied: bool = False
) -> dict[str, Tensor]:
    """Return the dense state dict; tied names share one tensor again.

    The tensors take over the memory of the arrays, if they are not copied. Raises
    LilnetxError for a type that this release of torch does not have.
    """
    state: dict[str, Tensor] = {}
    made: dict[int, Tensor] = {}
    for tensor in tensors:
        place = id(tensor.array)
        if place not in made:
            found = _to_torch(tensor)
            made[place] = found.clone() if copied else found
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
