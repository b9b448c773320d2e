"""Any network -> the same function in fewer channels, or an error."""

import copy
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lilnetx_cli.graph import ChannelGraph, GraphError, read_channels, trace
from lilnetx_cli.graph.tracing import WHOLE, module_of
from lilnetx_cli.pruning.equivalence import (
    Difference,
    compare,
    first_difference,
)
from lilnetx_cli.pruning.selection import Selection, select
from lilnetx_cli.pruning.surgery import cut


@dataclass(frozen=True)
class Pruned:
    """A smaller network.

    Attributes:
        model: plain layers, in evaluation mode.
        removed_channels: how many channels are gone, coupled ones counted once.
        max_abs_difference: of the outputs of both networks on random inputs.
        held: modules whose channels could not be followed, and stayed.
    """

    model: nn.Module
    removed_channels: int
    max_abs_difference: float
    held: tuple[str, ...]


def prune(model: nn.Module, inputs: tuple[Any, ...], *, multiple: int = 1) -> Pruned:
    """Take all dead channels out of a network; the model itself stays as it is.

    Channels leave that are constant wherever they are read, zero or such that biases
    can take them, and those that nothing reads. Channel counts become multiples of
    `multiple`. `inputs` are an example of what forward takes, of a batch of two or
    more. The smaller network is run beside the dense one on random inputs; where it
    fails because of an operation that is told sizes, the channels of that stay.

    Raises GraphError for a network that cannot be traced, and where the smaller one
    does not give the same; it names the layer.
    """
    dense = copy.deepcopy(model).eval()
    traced = trace(dense, inputs)
    held: frozenset[str] = frozenset()
    while True:
        graph = read_channels(dense, traced, held)
        selection = select(graph, multiple)
        smaller = cut(dense, selection)
        difference = compare(dense, smaller, inputs)
        if difference.problem is None:
            places = {module_of(node) for node in traced.nodes if node.name in held}
            names = tuple(sorted(name or WHOLE for name in places))
            return Pruned(smaller, _removed(selection), difference.largest, names)
        more = _to_hold(graph, difference) - held
        if not more:
            raise _refusal(dense, smaller, selection, difference, inputs)
        held |= more


def _to_hold(graph: ChannelGraph, difference: Difference) -> frozenset[str]:
    """Return the operations whose channels may have been in the way."""
    near = {n for n, module in graph.reshaped.items() if module == difference.module}
    return frozenset(near or graph.reshaped)


def _refusal(
    dense: nn.Module,
    smaller: nn.Module,
    selection: Selection,
    difference: Difference,
    inputs: tuple[Any, ...],
) -> GraphError:
    """Say which layer it was, and that the smaller network is not used."""
    where = difference.module
    if where is None:
        calls = Counter(result.module for result in selection.graph.results)
        stays = {
            result.module: selection.stays(result.labels)
            for result in selection.graph.results
            if result.module and calls[result.module] == 1
        }
        where = first_difference(dense, smaller, stays, inputs)
    return GraphError(
        f"the pruned network {difference.problem}, first at {where or WHOLE!r}:"
        " it is not used, rebuild the dense one"
    )


def _removed(selection: Selection) -> int:
    gone = ~selection.kept
    roots = selection.graph.roots
    present = torch.zeros_like(gone)
    for labels in selection.graph.axes.values():
        present[roots[labels]] = True
    return int((gone & present).sum())
