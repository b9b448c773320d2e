"""A pruned network from the dense one: what a file's record and tensors say of it."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx_cli.errors import FileError, UsageError, reason_of
from lilnetx_cli.metadata import CUTS
from lilnetx_cli.models.filling import OTHER_NETWORK
from lilnetx_cli.models.inputs import example_input
from lilnetx_cli.nn.cuts import Cuts, cuts_of
from lilnetx_cli.nn.shrinking import Shapes, shrink

MOST_TRIED = 1 << 20  # elements of an input on which a network is run


def cuts_in(record: Mapping[str, Any] | None, file: str) -> Cuts | None:
    """Return how the network of a record was cut, None for a dense one.

    Raises FileError for a record that makes no sense; `file` is named.
    """
    if record is None or CUTS not in record:
        return None
    try:
        return cuts_of(record[CUTS])
    except ValueError as error:
        raise FileError(
            f"{file!r} does not say how its network was pruned: the record has"
            f" {reason_of(error)}"
        ) from error


def with_cuts(
    record: Mapping[str, Any], other: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return a record that says how its network was cut, if the other one does."""
    if other is None or CUTS not in other:
        return dict(record)
    return {**record, CUTS: other[CUTS]}


def make_smaller(
    network: nn.Module,
    record: Mapping[str, Any] | None,
    state: Mapping[str, Tensor],
    file: str,
    *,
    trusted: bool,
) -> None:
    """Cut a dense network down, in place, where a record says that its file is pruned.

    It is then of the shapes of the state dict, and has to be filled. Raises FileError,
    or UsageError where the user named the network, and where the file does not fit;
    then the network is of no use any more.
    """
    cuts = cuts_in(record, file)
    if cuts is None:
        return
    shapes: Shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    try:
        shrink(network, shapes, cuts)
        _check_names(network, state)
    except ValueError as error:
        found = f"{file!r} was not pruned from the network, which has"
        if trusted:
            raise UsageError(f"{found} {reason_of(error)}: {OTHER_NETWORK}") from error
        raise FileError(f"{found} {reason_of(error)}") from error


def _check_names(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    own = network.state_dict().keys()
    for name in own - state.keys():
        raise ValueError(f"{name!r}, which is not in the file")
    for name in state.keys() - own:
        raise ValueError(f"no {name!r}, which is in the file")


def made_smaller(
    network: nn.Module,
    record: Mapping[str, Any] | None,
    state: Mapping[str, Tensor],
    file: str,
) -> nn.Module:
    """Return a network of the user's as it is, or a smaller copy for a pruned file."""
    if record is None or CUTS not in record:
        return network
    smaller = copy.deepcopy(network)
    make_smaller(smaller, record, state, file, trusted=True)
    return smaller


def check_pruned(network: nn.Module, record: Mapping[str, Any], file: str) -> None:
    """Raise FileError where the layers of a pruned network do not fit each other.

    It runs once, without memory where that is possible, on what its record says it
    takes; not at all where that says nothing.
    """
    if CUTS not in record:
        return
    try:
        example = example_input(record, None, network)
    except UsageError:
        return
    empty = {id(x): nn.Parameter(x.detach().to("meta")) for x in network.parameters()}
    twin: nn.Module = copy.deepcopy(network, empty).to("meta").eval()
    reason = _failure(twin, example.to("meta"))
    if reason is not None and example.numel() <= MOST_TRIED:
        own = {id(x): x for x in network.parameters()}
        reason = _failure(copy.deepcopy(network, own).eval(), example)
    if reason is not None:
        raise FileError(
            f"{file!r} holds a pruned network whose layers do not fit each other:"
            f" {reason}"
        )


@torch.no_grad()
def _failure(network: nn.Module, example: Tensor) -> str | None:
    try:
        network(example)
    except Exception as error:  # any: of whatever layer
        return reason_of(error)
    return None
