"""The bridge between torch and lnx: checkpoints in, containers out, and back."""

from lilnetx_cli.checkpoint.any_file import Source, read_source
from lilnetx_cli.checkpoint.convert import pack, unpack
from lilnetx_cli.checkpoint.model_pt import (
    Checkpoint,
    LatentEntry,
    capture,
    load_checkpoint,
    save_checkpoint,
)
from lilnetx_cli.checkpoint.torch_file import load_torch

__all__ = [
    "Checkpoint",
    "LatentEntry",
    "Source",
    "capture",
    "load_checkpoint",
    "load_torch",
    "pack",
    "read_source",
    "save_checkpoint",
    "unpack",
]
