"""Decoded tensors -> a state dict that loads with `weights_only=True`."""

from collections.abc import Sequence
from pathlib import Path

import torch

import lnx
from lilnetx_cli.codec import unpack


def write_state_dict(tensors: Sequence[lnx.Decoded], path: Path) -> None:
    """Write what `torch.save(model.state_dict())` would; tied tensors stay tied."""
    with lnx.atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(unpack(tensors), file)
