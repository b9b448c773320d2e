"""The bridge between torch and lnx: checkpoints in, containers out, and back."""

from lilnetx_cli.codec.checkpoint import (
    Checkpoint,
    LatentEntry,
    capture,
    load_checkpoint,
    save_checkpoint,
)
from lilnetx_cli.codec.pack import pack
from lilnetx_cli.codec.source import Source, read_source
from lilnetx_cli.codec.unpack import unpack

__all__ = [
    "Checkpoint",
    "LatentEntry",
    "Source",
    "capture",
    "load_checkpoint",
    "pack",
    "read_source",
    "save_checkpoint",
    "unpack",
]
