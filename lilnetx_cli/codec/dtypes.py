"""Element types, torch's and the file's."""

import torch

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
