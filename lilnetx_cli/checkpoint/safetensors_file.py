"""A .safetensors file -> its tensors, which stay in the file until they are needed."""

import json
import struct
from pathlib import Path
from typing import Any

from torch import Tensor

from lilnetx_cli.checkpoint.file_kinds import kind_of
from lilnetx_cli.errors import FileError, reason_of
from lnx.errors import printable

LENGTH = struct.Struct("<Q")  # of the header, which is JSON


def load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str] | None]:
    """Return the tensors of a file, mapped, and its metadata; raises FileError."""
    import safetensors
    from safetensors.torch import load_file

    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata()
        _check_names(path)
        return load_file(path), metadata
    except safetensors.SafetensorError as error:
        kind = kind_of(path)
        what = (
            f"is not safetensors but {kind}"
            if kind
            else (f"is not a valid safetensors file: {reason_of(error)}")
        )
        raise FileError(f"{str(path)!r} {what}") from error


def _check_names(path: Path) -> None:
    """Refuse a header that names a tensor twice, of which safetensors keeps one."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in pairs:
            if name in values:
                raise FileError(f"{str(path)!r} names {printable(name)} twice")
            values[name] = value
        return values

    with path.open("rb") as file:
        (length,) = LENGTH.unpack(file.read(LENGTH.size))
        json.loads(file.read(length), object_pairs_hook=unique)
