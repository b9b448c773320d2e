"""A network from whatever file the user names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import lnx
from lilnetx_cli.codec import pack, read_source, unpack
from lilnetx_cli.commands.compress import is_lnx
from lilnetx_cli.errors import UsageError
from lilnetx_cli.models import build, describe, fill
from lilnetx_cli.models.registry import build_record


@dataclass(frozen=True)
class Loaded:
    """A network in evaluation mode, and what its file says of it."""

    network: nn.Module
    training: Mapping[str, Any]
    slice_sparsity: float | None


def load_network(file: Path, name: str | None, arguments: Mapping[str, int]) -> Loaded:
    """Read a .lnx file or a checkpoint; a name overrides what the file says.

    Raises UsageError where neither says which network it is, or it does not fit.
    """
    container = lnx.load(file) if is_lnx(file) else pack(read_source(file).checkpoint)
    record = container.architecture
    if name is not None:
        own = describe(name, {**_form(record, name), **arguments})
        make = partial(build, name, own["args"])
    elif record is not None:
        make = partial(build_record, record)
    else:
        raise UsageError(f"{str(file)!r} does not say which network it is: add --model")
    network = _filled(make, unpack(lnx.rebuild_all(container)), file)
    sparsity = _slice_sparsity(container)
    return Loaded(network.eval(), container.summary or {}, sparsity)


def _form(record: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Return what a file says of its network that suits the named one."""
    own = record.get("args") if record is not None else None
    if record is None or not isinstance(own, dict):
        return {}
    if record.get("name") == name:
        return own
    return {key: own[key] for key in ("channels", "classes") if key in own}


def _filled(
    make: Callable[[], nn.Module], state: dict[str, Tensor], file: Path
) -> nn.Module:
    try:
        return fill(make, state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"{str(file)!r} does not fit the network: {reason}") from error


def _slice_sparsity(container: lnx.Container) -> float | None:
    slices = zero = 0
    for tensor in container.tensors:
        if isinstance(tensor, lnx.Latent) and tensor.symbols.shape[1] > 1:
            slices += len(tensor.symbols)
            zero += int((~tensor.symbols.any(axis=1)).sum())
    return zero / slices if slices else None
