"""A pruned network -> what its file holds, tried before it is written."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

import lnx
from lilnetx_cli.checkpoint import unpack
from lilnetx_cli.checkpoint.convert import to_bytes
from lilnetx_cli.cli.loading import Loaded
from lilnetx_cli.errors import LilnetxError
from lilnetx_cli.metadata import CUTS
from lilnetx_cli.models import rebuild
from lilnetx_cli.models.inputs import InputForm, text_of
from lilnetx_cli.models.pruned import cuts_in
from lilnetx_cli.nn.cuts import Cuts
from lilnetx_cli.pruning import Pruned
from lilnetx_cli.pruning.contents import pruned_container
from lilnetx_cli.pruning.described import all_cuts

# What layers keep of themselves, and pruning changes.
SIZES = (
    "in_channels", "out_channels", "groups", "in_features", "out_features",
    "num_features", "num_parameters", "embedding_dim", "before", "after", "axis",
    "geometry",
)  # fmt: skip


def contents(
    smaller: Pruned, loaded: Loaded, form: InputForm | None, *, named: bool
) -> lnx.Container:
    """Return the container of a pruned network, whose record says how it was cut.

    It is rebuilt from that once. `form` is what the user says that the network takes;
    `named` tells whether the user named it, too. Raises LilnetxError where the network
    does not come back as it is.
    """
    record = _record(smaller, loaded, form)
    container = pruned_container(loaded.container, smaller)
    container = replace(container, architecture=record)
    state = unpack(lnx.rebuild_all(container))
    again = rebuild(record, state, "the smaller file", trusted=named).eval()
    if not _are_equal(again, smaller.model):
        raise LilnetxError(
            "the pruned network cannot be rebuilt from a file of tensors: write it as"
            " .onnx or .pt2"
        )
    return container


def _record(smaller: Pruned, loaded: Loaded, form: InputForm | None) -> dict[str, Any]:
    before = cuts_in(loaded.built, "the file") or Cuts()
    record: Mapping[str, Any] = {**(loaded.architecture or {}), **loaded.built}
    taken = {} if form is None else {"input": text_of(form)}
    cuts = all_cuts(before, smaller.model, smaller.cuts)
    return {**record, **taken, CUTS: cuts.record()}


def _are_equal(one: nn.Module, other: nn.Module) -> bool:
    """Tell whether two networks have the same layers and tensors, to the bit."""
    left, right = (
        {**network.state_dict(), **dict(network.named_buffers())}
        for network in (one, other)
    )
    return (
        _sizes(one) == _sizes(other)
        and list(left) == list(right)
        and all(_is_same(tensor, right[name]) for name, tensor in left.items())
    )


def _sizes(network: nn.Module) -> list[tuple[Any, ...]]:
    return [
        (name, type(module).__name__, *(vars(module).get(key) for key in SIZES))
        for name, module in network.named_modules()
    ]


def _is_same(one: Tensor, other: Tensor) -> bool:
    same = one.dtype == other.dtype and one.shape == other.shape
    return same and np.array_equal(to_bytes(one), to_bytes(other))
