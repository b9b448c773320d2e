"""The Python interface: what your own training script needs."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import lnx
from lilnetx_cli.checkpoint import capture, pack, read_source, unpack
from lilnetx_cli.compression.in_python import compress
from lilnetx_cli.endings import STATES, check_lnx
from lilnetx_cli.errors import UsageError, type_of
from lilnetx_cli.graph.coupling import coupled_channels
from lilnetx_cli.models import fill, rebuild
from lilnetx_cli.models.inputs import example_input
from lilnetx_cli.models.pruned import made_smaller
from lilnetx_cli.nn import (
    Penalty,
    PlainWeightsWarning,
    RoundingWarning,
    materialize,
    penalty,
    reparameterize,
)
from lilnetx_cli.nn.channel_prior import Channels
from lilnetx_cli.pruning import Pruned, prune
from lilnetx_cli.training.compressor import Compressor
from lilnetx_cli.training.own_loop import Finalized, finalize

__all__ = [
    "Channels",
    "Compressor",
    "Finalized",
    "Penalty",
    "PlainWeightsWarning",
    "Pruned",
    "RoundingWarning",
    "compress",
    "coupled_channels",
    "finalize",
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
    model: nn.Module | Finalized,
    path: PathLike,
    *,
    architecture: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> int:
    """Write a network to a .lnx file, atomically; return its length in bytes.

    Latents are entropy-coded. In the result of `finalize` the rest is rounded as far as
    the outputs allow; if a network is only reparameterized, all other tensors are
    stored byte for byte. `architecture` is the record {"name": ..., "args": {...}} of a
    network that `lilnetx models` lists, so that `load_model` needs no model; `training`
    is the training record, in plain JSON values. Records that were given to
    `finalize` need not be repeated. Raises UsageError for the name of another kind of
    file, InputError for tensors that a file cannot hold, lnx.LnxError, OSError.
    """
    check_lnx(path, "save")
    if isinstance(model, Finalized):
        known = model.checkpoint
        checkpoint = replace(
            known,
            architecture=known.architecture if architecture is None else architecture,
            training=known.training if training is None else training,
        )
    elif isinstance(model, nn.Module):
        checkpoint = capture(model, architecture=architecture, training=training)
    else:
        raise UsageError(
            f"model is {type_of(model)}, expected a network or what finalize returns"
        )
    return lnx.save(pack(checkpoint), path)


def load(path: PathLike) -> dict[str, Tensor]:
    """Read the dense state dict of a .lnx file, every hash checked.

    Raises lnx.LnxError for a file that is damaged or not a .lnx file, LilnetxError for
    an element type that this torch lacks, and OSError.
    """
    return unpack(lnx.decode(path))


def load_model(
    path: PathLike,
    *,
    pruned: bool = False,
    model: nn.Module | None = None,
    inputs: Tensor | tuple[Any, ...] | None = None,
) -> nn.Module:
    """Rebuild the network of a file, in evaluation mode.

    The file is a .lnx one, a model.pt of `train`, or any state dict in .pt or
    .safetensors. The network is built from the file's architecture record, on the CPU.
    `model`, a network of your own with the same tensors, is filled in place and
    returned instead; it is needed where the file has no record. A file of a pruned
    network (`decompress --pruned`) gives the smaller one; `model` is then the dense one
    that it was cut from, stays as it is, and a smaller copy comes back. Weights have
    the types that the network has for them: float16 in the file becomes float32 in a
    float32 network.

    With `pruned` the network comes without its dead channels: plain smaller layers with
    the same outputs. `inputs` are an example of what forward takes, a tensor or a tuple
    of arguments, a batch of two or more, needed where the record does not say the image
    size.

    Raises what `load` raises; UsageError if the file has no record and no model is
    given, or if tensors are missing, unknown, of another shape, or of a type that the
    network's cannot hold exactly (at most three are named, and `model` stays as it
    was); FileError for a record that builds no network; GraphError if the network
    cannot be pruned. All but lnx.LnxError and OSError are errors of lilnetx_cli.errors.
    """
    if model is not None and not isinstance(model, nn.Module):
        raise UsageError(f"model is {type_of(model)}, expected a network, an nn.Module")
    container, file = _read(path), os.fspath(path)
    record, state = container.architecture, unpack(lnx.rebuild_all(container))
    if model is None:
        model = rebuild(record, state, file)
    else:
        model = made_smaller(model, record, state, file)
        fill(model, state, file)
    model = model.eval()
    if not pruned:
        return model
    if inputs is None:
        inputs = example_input(record)
    return prune(model, inputs).model


def _read(path: PathLike) -> lnx.Container:
    """Read a .lnx file, or another checkpoint if that is what its name says."""
    file = Path(path)
    if file.suffix in STATES and not lnx.is_lnx(file):
        return pack(read_source(file).checkpoint)
    return lnx.load(path)
