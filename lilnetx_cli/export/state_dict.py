"""Decoded tensors -> a state dict on disk; .safetensors without torch."""

from collections.abc import Sequence
from pathlib import Path

import safetensors

import lnx
from lilnetx_cli.errors import LilnetxError
from lnx import DType

NAMES = {
    DType.BOOL: "bool",
    DType.U8: "uint8",
    DType.I8: "int8",
    DType.U16: "uint16",
    DType.I16: "int16",
    DType.U32: "uint32",
    DType.I32: "int32",
    DType.U64: "uint64",
    DType.I64: "int64",
    DType.F16: "float16",
    DType.BF16: "bfloat16",
    DType.F32: "float32",
    DType.F64: "float64",
    DType.F8_E4M3: "float8_e4m3fn",
    DType.F8_E5M2: "float8_e5m2",
    DType.C64: "complex64",
    DType.F8_E4M3FNUZ: "float8_e4m3fnuz",
    DType.F8_E5M2FNUZ: "float8_e5m2fnuz",
    DType.F8_E8M0: "float8_e8m0fnu",
    DType.F4_X2: "float4_e2m1fn_x2",
}


def write_safetensors(tensors: Sequence[lnx.Decoded], path: Path) -> None:
    """Write every tensor, tied ones once for each name; raises LilnetxError."""
    specs = {}
    for tensor in tensors:
        array = tensor.array
        if not array.flags.c_contiguous:  # the library takes the address
            raise LilnetxError(f"{tensor.name!r} does not stand in one piece")
        specs[tensor.name] = safetensors.TensorSpec(
            dtype=NAMES[tensor.dtype],
            shape=list(array.shape),
            data_ptr=array.ctypes.data,
            data_len=array.nbytes,
        )
    with lnx.atomic_path(path) as temporary:
        try:
            safetensors.serialize_file(specs, str(temporary), {"format": "pt"})
        except safetensors.SafetensorError as error:
            raise LilnetxError(f"{str(path)!r} cannot be written: {error}") from error


def write_state_dict(tensors: Sequence[lnx.Decoded], path: Path) -> None:
    """Write what `torch.save(model.state_dict())` would; tied tensors stay tied."""
    import torch

    from lilnetx_cli.checkpoint import unpack

    with lnx.atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(unpack(tensors), file)
