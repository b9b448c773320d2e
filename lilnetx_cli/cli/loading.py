"""A network from whatever file the user names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

import lnx
from lilnetx_cli.checkpoint import pack, read_source, unpack
from lilnetx_cli.graph import GraphError
from lilnetx_cli.measure.sparsity import channel_sparsity, slice_sparsity
from lilnetx_cli.models import describe, rebuild
from lilnetx_cli.models.inputs import InputForm, example_input
from lilnetx_cli.models.pruned import with_cuts
from lilnetx_cli.pruning import Pruned, kept_lines, prune
from lnx.spec import DEFAULT_MAX_SIZE

EMPTY: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class Loaded:
    """A network in evaluation mode, and what its file says of it.

    Attributes:
        container: the file.
        architecture: what it says of its network; `built` is that of which the network
            was made, which the user may have named.
    """

    network: nn.Module
    container: lnx.Container
    architecture: Mapping[str, Any] | None
    training: Mapping[str, Any]
    slice_sparsity: float | None
    channel_sparsity: float | None
    built: Mapping[str, Any]


def load_network(
    file: Path,
    name: str | None,
    arguments: Mapping[str, int],
    *,
    form: Mapping[str, int] = EMPTY,
    max_size: int = DEFAULT_MAX_SIZE,
    jobs: int = 1,
) -> Loaded:
    """Read a .lnx file or a checkpoint; a name overrides what the file says.

    `form`, channels and classes, completes a name that the file says nothing of.
    Raises UsageError where neither says which network it is, or it does not fit.
    """
    if lnx.is_lnx(file):
        container = lnx.load(file, max_size=max_size, jobs=jobs)
    else:
        container = pack(read_source(file).checkpoint)
    record = container.architecture
    own = record
    if name is not None:
        named = describe(name, {**form, **_form(record, name), **arguments})
        own = with_cuts(named, record)
    state = unpack(lnx.rebuild_all(container))
    network = rebuild(own, state, str(file), trusted=name is not None).eval()
    return Loaded(
        network,
        container,
        record,
        container.training or {},
        slice_sparsity(x for x in container.tensors if isinstance(x, lnx.Latent)),
        channel_sparsity(state),
        own or {},
    )


def load_pruned(
    file: Path,
    loaded: Loaded,
    form: InputForm | None,
    multiple: int,
) -> Pruned:
    """Prune a loaded network; raises GraphError, with the file in its message."""
    example = example_input(loaded.architecture, form, loaded.network)
    try:
        return prune(loaded.network, (example,), multiple=multiple)
    except GraphError as error:
        raise GraphError(f"{str(file)!r} is not pruned: {error}") from error


def removal_lines(pruned: Pruned) -> list[str]:
    """Say how many channels went, and which dead ones stay and why."""
    count = pruned.removed_channels
    gone = f"{count:,} channel{'' if count == 1 else 's'} removed"
    if count == 0 and not pruned.held:
        return [f"{gone}: none is dead"]
    return [gone, *kept_lines(pruned.held)]


def _form(record: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Return what a file says of its network that suits the named one."""
    own = record.get("args") if record is not None else None
    if record is None or not isinstance(own, dict):
        return {}
    if record.get("name") == name:
        return own
    return {key: own[key] for key in ("channels", "classes") if key in own}
