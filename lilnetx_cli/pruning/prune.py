"""Any network -> the same function in fewer channels, or an error."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lilnetx_cli.graph import ChannelGraph, GraphError, read_channels, trace
from lilnetx_cli.graph.tracing import WHOLE, module_of
from lilnetx_cli.pruning.equivalence import Difference, compare
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
        held |= _to_hold(graph, difference)


def _to_hold(graph: ChannelGraph, difference: Difference) -> frozenset[str]:
    """Return the operations whose channels have to stay; raises GraphError."""
    near = {n for n, module in graph.reshaped.items() if module == difference.module}
    if not near:
        near = set(graph.reshaped)
    if not near:
        where = difference.module or WHOLE
        raise GraphError(
            f"the pruned network {difference.problem} (at {where!r}): it is not used,"
            " rebuild the dense one"
        )
    return frozenset(near)


def _removed(selection: Selection) -> int:
    gone = ~selection.kept
    roots = selection.graph.roots
    present = torch.zeros_like(gone)
    for labels in selection.graph.axes.values():
        present[roots[labels]] = True
    return int((gone & present).sum())
