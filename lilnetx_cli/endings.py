"""Endings of file names, and what they say is in a file."""

import os
from pathlib import Path

from lilnetx_cli.errors import UsageError

TORCH_STATES = (".pt", ".pth")
STATES = (".safetensors", *TORCH_STATES)
PROGRAMS = (".pt2", ".onnx")


def check_lnx(path: str | os.PathLike[str], writer: str) -> None:
    """Raise UsageError where the name of a .lnx file says another kind of file."""
    suffix = Path(path).suffix.lower()
    if suffix in (*STATES, *PROGRAMS):
        raise UsageError(
            f"output {os.fspath(path)!r}: {writer} writes .lnx files;"
            f" 'lilnetx decompress' writes {suffix}"
        )
