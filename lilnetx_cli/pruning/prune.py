"""Any network -> the same function in fewer channels, or an error."""

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx_cli.errors import UsageError, reason_of, type_of
from lilnetx_cli.graph import ChannelGraph, GraphError, read_channels, trace
from lilnetx_cli.graph.tracing import WHOLE, arguments_of
from lilnetx_cli.nn.constant import Constant
from lilnetx_cli.nn.cuts import Cuts
from lilnetx_cli.pruning.cases import Case, fresh
from lilnetx_cli.pruning.described import cuts_between
from lilnetx_cli.pruning.equivalence import Difference, compare
from lilnetx_cli.pruning.guard import guard
from lilnetx_cli.pruning.kept import Kept, kept_channels
from lilnetx_cli.pruning.numbers import cuts_sums, first_other_number
from lilnetx_cli.pruning.selection import Selection, select
from lilnetx_cli.pruning.surgery import Slicing, cut
from lilnetx_cli.pruning.tried import Tried, try_out


@dataclass(frozen=True)
class Pruned:
    """A smaller network.

    Attributes:
        model: plain layers, in evaluation mode.
        removed_channels: how many channels are gone, coupled ones counted once.
        max_abs_difference: of the outputs of both networks for the example, in the type
            of their weights.
        held: channels that are dead or constant and stay all the same, by layer and
            reason.
        slicing: which places of the dense network's tensors stayed.
        cuts: what else it takes to rebuild the smaller network, beside its state dict,
            from the dense one.
    """

    model: nn.Module
    removed_channels: int
    max_abs_difference: float
    held: tuple[Kept, ...]
    slicing: Slicing
    cuts: Cuts


def prune(
    model: nn.Module, inputs: Tensor | tuple[Any, ...], *, multiple: int = 1
) -> Pruned:
    """Take all dead channels out of a network; the model itself stays as it is.

    Channels leave that are constant wherever they are read, zero or such that biases
    can take them, and those that nothing reads. Channel counts become multiples of
    `multiple`. `inputs` are an example of what forward takes, a tensor or a tuple of
    arguments, of a batch of two or more. The network is run on it and on random inputs
    of other sizes, batches and ranks, and the smaller one beside it; where that fails
    because of a hard-coded size, the channels that meet this size stay. Inputs for
    which forward computes otherwise than it did for these are refused when the smaller
    network runs: it raises GraphError.

    Raises GraphError for a network that cannot be traced, and where the smaller one
    does not give the same; it names the layer. Raises UsageError for other arguments.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"model is {type_of(model)}, expected a network, an nn.Module")
    if multiple < 1:
        raise UsageError(f"multiple is {multiple}, expected 1 or more")
    inputs = arguments_of(inputs)
    dense = _copied(model)
    tried = try_out(dense, inputs)
    held: frozenset[str] = frozenset()
    while True:
        graph = read_channels(dense, tried.traced, held)
        selection = select(graph, multiple)
        smaller, difference = _smaller(dense, selection, tried.cases)
        if difference.problem is None and cuts_sums(selection):
            difference = _compare_numbers(dense, tried, selection, difference)
        if difference.problem is None:
            removed, held_back = _removed(selection), _held(smaller, selection)
            if removed or any(isinstance(x, Constant) for x in smaller.modules()):
                guard(smaller, tried.groups, difference.equal, graph)
            slicing = Slicing(selection)
            cuts = cuts_between(dense, smaller, slicing)
            return Pruned(
                smaller, removed, difference.largest, held_back, slicing, cuts
            )
        more = _to_hold(dense, graph, difference, held) - held
        if not more:
            where = difference.module or WHOLE
            raise GraphError(
                f"the pruned network {difference.problem}, first at {where!r}:"
                " use the dense network instead"
            )
        held |= more


def _copied(model: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode; raises GraphError for what cannot be pruned."""
    tensors = [*model.parameters(), *model.buffers()]
    if any(tensor.is_complex() for tensor in tensors):
        raise GraphError("networks with complex parameters are not pruned")
    try:
        return copy.deepcopy(model).eval()
    except Exception as error:  # weights that are computed, old forms of them
        reason = reason_of(error)
        raise GraphError(f"the network cannot be copied: {reason}") from error


def _smaller(
    dense: nn.Module, selection: Selection, cases: Sequence[Case]
) -> tuple[nn.Module, Difference]:
    """Cut, and compare; without `Constant` layers where their parents want others."""
    layers = _to_compare(dense, selection)
    found: list[Difference] = []
    for constants in (True, False):
        shrink = partial(cut, selection=selection, constants=constants)
        found.append(compare(dense, shrink, layers, cases))
        if found[-1].problem is None:
            return shrink(dense), found[-1]
    return dense, found[0]


def _compare_numbers(
    dense: nn.Module, tried: Tried, selection: Selection, found: Difference
) -> Difference:
    """Add to a difference whether the smaller network computes with other numbers."""
    plain = cut(dense, selection, constants=False)
    for case, before in tried.passes:
        after = trace(fresh(plain), case.inputs, case.dead_ends)
        module = first_other_number(before, after)
        if module is not None:
            return Difference("scales by the number of its channels", module)
    return found


def _to_compare(
    dense: nn.Module, selection: Selection
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return what stays of the channels of torch's own layers, and what matters."""
    results = selection.graph.results
    calls = Counter(result.module for result in results)
    layers = {}
    for result in results:
        kind = type(dense.get_submodule(result.module))
        own = kind.__module__.startswith("torch.nn.modules")
        if result.module and own and calls[result.module] == 1:
            stays = selection.stays(result.labels)
            layers[result.module] = stays, selection.is_needed(result.labels)
    return layers


def _to_hold(
    dense: nn.Module, graph: ChannelGraph, difference: Difference, held: frozenset[str]
) -> frozenset[str]:
    """Return the operations that may depend on the number of channels.

    Those in the innermost module around the difference that has any which are not held
    yet, and in modules of its type, which run the same code; all where there are none.
    Sums come first, then what has sizes.
    """
    for found in (graph.sums, graph.reshaped):
        left = {name: module for name, module in found.items() if name not in held}
        place = difference.module
        while place is not None:
            if place in left.values():
                return _of_type(dense, left, type(dense.get_submodule(place)))
            place = place.rpartition(".")[0] if place else None
    return frozenset((*graph.sums, *graph.reshaped))


def _of_type(
    dense: nn.Module, operations: Mapping[str, str], kind: type[nn.Module]
) -> frozenset[str]:
    """Return the operations in modules of one type."""
    return frozenset(
        name
        for name, module in operations.items()
        if type(dense.get_submodule(module)) is kind
    )


def _held(smaller: nn.Module, selection: Selection) -> tuple[Kept, ...]:
    """Return the dead channels that stay, less those of layers that became constant."""
    return tuple(
        kept
        for kept in kept_channels(selection)
        if not isinstance(smaller.get_submodule(kept.layer), Constant)
    )


def _removed(selection: Selection) -> int:
    gone = ~selection.kept
    roots = selection.graph.roots
    present = torch.zeros_like(gone)
    for labels in selection.graph.axes.values():
        present[roots[labels]] = True
    return int((gone & present).sum())
