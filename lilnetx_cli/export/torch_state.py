"""Container -> a state dict that loads with `weights_only=True`."""

import io
from pathlib import Path

import torch

import lnx
from lilnetx_cli.codec import unpack


def write_state_dict(container: lnx.Container, path: Path) -> None:
    """Write what `torch.save(model.state_dict())` would; tied tensors stay tied."""
    buffer = io.BytesIO()
    torch.save(unpack(container), buffer)
    lnx.write_atomic(buffer.getvalue(), path)
