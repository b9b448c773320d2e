"""Decoded tensors -> a state dict on disk; .safetensors without torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import safetensors

import lnx
from lilnetx_cli.errors import FileError, LilnetxError
from lnx import DType
from lnx.errors import printable

if TYPE_CHECKING:
    from torch import Tensor

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


RESERVED = "__metadata__"  # what a .safetensors file calls its own metadata
DEFAULT_METADATA = {"format": "pt"}


def write_safetensors(
    tensors: Sequence[lnx.Decoded],
    path: Path,
    metadata: Mapping[str, str] | None = None,
    *,
    replace: bool = True,
) -> None:
    """Write every tensor, tied ones once for each name, and open what was written.

    Without metadata the file says what `safetensors.torch` does. Raises LilnetxError,
    and FileExistsError for a file that is there where replace is False.
    """
    specs = {tensor.name: _spec_of(tensor) for tensor in tensors}
    if RESERVED in specs:
        raise LilnetxError(
            f"a tensor named {RESERVED!r} cannot be written to a .safetensors file,"
            " which needs the name for itself: write a .pt file"
        )
    said = dict(DEFAULT_METADATA if metadata is None else metadata)
    with lnx.atomic_path(path, replace=replace) as temporary:
        try:
            safetensors.serialize_file(specs, str(temporary), said)
            with safetensors.safe_open(str(temporary), "numpy") as written:
                names, found = set(written.keys()), written.metadata()
        except safetensors.SafetensorError as error:
            raise LilnetxError(f"{str(path)!r} cannot be written: {error}") from error
        if names != specs.keys() or (found or {}) != said:
            raise LilnetxError(f"{str(path)!r} is not written: reading it back fails")


def write_state_dict(
    tensors: Sequence[lnx.Decoded], path: Path, *, replace: bool = True
) -> None:
    """Write what `torch.save(model.state_dict())` would, and open what was written.

    Tied tensors stay tied. Raises LilnetxError, and FileExistsError for a file that is
    there where replace is False.
    """

    from lilnetx_cli.checkpoint import unpack

    state = unpack(tensors)
    with lnx.atomic_path(path, replace=replace) as temporary:
        with temporary.open("wb") as file:
            _save(state, file)
        if not _comes_back(temporary, state):
            raise LilnetxError(f"{str(path)!r} is not written: reading it back fails")


class _Remembering:
    """A file that remembers why it could not be written, which torch does not say."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:  # noqa: ANN401
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _save(state: "Mapping[str, Tensor]", file: IO[bytes]) -> None:
    """Write a state dict as torch does; raises OSError, as for a full disk."""
    import torch

    target = _Remembering(file)
    try:
        torch.save(state, cast("IO[bytes]", target))
    except RuntimeError:
        if target.error is None:
            raise
        raise target.error from None


def _comes_back(path: Path, state: "Mapping[str, Tensor]") -> bool:
    """Tell whether a file holds tensors of these names, types and shapes."""
    from lilnetx_cli.checkpoint import load_torch

    try:
        written = load_torch(path)
    except FileError:
        return False
    return list(written) == list(state) and all(
        written[name].dtype == tensor.dtype and written[name].shape == tensor.shape
        for name, tensor in state.items()
    )


def _spec_of(tensor: lnx.Decoded) -> safetensors.TensorSpec:
    """Describe a tensor where it is in memory; raises LilnetxError."""
    array = tensor.array
    if not array.flags.c_contiguous:  # the library takes the address
        raise LilnetxError(f"{printable(tensor.name)} is not in one piece in memory")
    return safetensors.TensorSpec(
        dtype=NAMES[tensor.dtype],
        shape=list(array.shape),
        data_ptr=array.ctypes.data,
        data_len=array.nbytes,
    )
