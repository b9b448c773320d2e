"""Container -> a state dict that loads with `weights_only=True`."""

from pathlib import Path

import torch

import lnx
from lilnetx_cli.codec import unpack


def write_state_dict(container: lnx.Container, path: Path) -> None:
    """Write what `torch.save(model.state_dict())` would; tied tensors stay tied."""
    with lnx.atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(unpack(container), file)
