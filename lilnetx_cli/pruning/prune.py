"""Any network -> the same function in fewer channels, or an error."""

import copy
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

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
    dense = _copied(model)
    traced = trace(_copied(model), inputs)
    held: frozenset[str] = frozenset()
    while True:
        graph = read_channels(dense, traced, held)
        selection = select(graph, multiple)
        smaller, difference = _smaller(dense, selection, inputs)
        if difference.problem is None:
            places = {module_of(node) for node in traced.nodes if node.name in held}
            names = tuple(sorted(name or WHOLE for name in places))
            return Pruned(smaller, _removed(selection), difference.largest, names)
        more = _to_hold(graph, difference) - held
        if not more:
            where = difference.module or WHOLE
            raise GraphError(
                f"the pruned network {difference.problem}, first at {where!r}:"
                " it is not used, rebuild the dense one"
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
        reason = " ".join(str(error).split())[:200]
        raise GraphError(f"the network cannot be copied: {reason}") from error


def _smaller(
    dense: nn.Module, selection: Selection, inputs: tuple[Any, ...]
) -> tuple[nn.Module, Difference]:
    """Cut, and compare; without `Constant` layers where their parents want others."""
    layers = _to_compare(dense, selection)
    smaller = cut(dense, selection)
    difference = compare(dense, smaller, layers, inputs)
    if difference.problem is None:
        return smaller, difference
    plainer = cut(dense, selection, constants=False)
    second = compare(dense, plainer, layers, inputs)
    return (plainer, second) if second.problem is None else (smaller, difference)


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


def _to_hold(graph: ChannelGraph, difference: Difference) -> frozenset[str]:
    """Return the operations whose channels may have been in the way."""
    near = {n for n, module in graph.reshaped.items() if module == difference.module}
    return frozenset(near or graph.reshaped)


def _removed(selection: Selection) -> int:
    gone = ~selection.kept
    roots = selection.graph.roots
    present = torch.zeros_like(gone)
    for labels in selection.graph.axes.values():
        present[roots[labels]] = True
    return int((gone & present).sum())
