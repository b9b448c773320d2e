"""The Python interface: what a training script of one's own needs."""

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

import lnx
from lilnetx_cli.checkpoint import capture, pack, unpack
from lilnetx_cli.models import fill, rebuild
from lilnetx_cli.models.inputs import example_input
from lilnetx_cli.nn import (
    Penalty,
    RoundingWarning,
    materialize,
    penalty,
    reparameterize,
)
from lilnetx_cli.pruning import Pruned, prune

__all__ = [
    "Penalty",
    "Pruned",
    "RoundingWarning",
    "load",
    "load_model",
    "materialize",
    "penalty",
    "prune",
    "reparameterize",
    "save",
]

PathLike = str | os.PathLike[str]


def save(
    model: nn.Module,
    path: PathLike,
    *,
    architecture: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> int:
    """Write a network to a .lnx file, atomically; return its length in bytes.

    Latents of a reparameterized network are entropy-coded, all other tensors are held
    byte for byte. `architecture` is the record {"name": ..., "args": {...}} of a
    registered network, for `load_model` without a model; `training` is what a run says
    of itself, in plain JSON values. Raises LnxError, OSError.
    """
    checkpoint = capture(model, architecture=architecture, training=training)
    return lnx.save(pack(checkpoint), path)


def load(path: PathLike) -> dict[str, Tensor]:
    """Read the dense state dict of a .lnx file, every hash checked.

    Raises lnx.LnxError for a file that is damaged or none, and OSError.
    """
    return unpack(lnx.decode(path))


def load_model(
    path: PathLike,
    *,
    pruned: bool = False,
    model: nn.Module | None = None,
    inputs: tuple[Any, ...] | None = None,
) -> nn.Module:
    """Rebuild the network of a .lnx file, in evaluation mode.

    The network comes from the file's architecture record; `model`, a fresh network of
    the right form, is filled instead where the file has none. With `pruned` it comes
    without its dead channels: plain smaller layers, which give the same; `inputs` is an
    example of what it takes, where the file does not say. Raises lnx.LnxError, OSError,
    UsageError where something is missing or the shapes do not fit, and GraphError where
    the network cannot be pruned.
    """
    container, file = lnx.load(path), os.fspath(path)
    record, state = container.architecture, unpack(lnx.rebuild_all(container))
    if model is None:
        model = rebuild(record, state, file)
    else:
        fill(model, state, file)
    model = model.eval()
    if not pruned:
        return model
    return prune(model, inputs or (example_input(record),)).model
