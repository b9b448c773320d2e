"""Walk through a network, operation by operation, and follow its channels."""

import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.utils import _pytree as pytree

from lilnetx_cli.graph import (
    rules_contraction,
    rules_convolution,
    rules_layer,
    rules_norm,
    rules_parts,
    rules_pointwise,
    rules_reduction,
    rules_shape,
)
from lilnetx_cli.graph.findings import Padding, Reader, Result
from lilnetx_cli.graph.grids import Grid, unknown
from lilnetx_cli.graph.lost_constants import note_lost
from lilnetx_cli.graph.nodes import hard_coded, operation
from lilnetx_cli.graph.passes import merged_readers, merged_results
from lilnetx_cli.graph.paths import FILL
from lilnetx_cli.graph.state import (
    RULES,
    WEIGHTED,
    State,
    Unsupported,
    opaque,
    result_grids,
)
from lilnetx_cli.graph.tracing import Traced

__all__ = ["ChannelGraph", "read_channels"]
# Importing them registers their rules.
_ROOMS = (
    rules_contraction, rules_convolution, rules_layer, rules_norm, rules_parts,
    rules_pointwise, rules_reduction, rules_shape,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class ChannelGraph:
    """The channels of a network.

    Attributes:
        roots: class of each label; class 0 is what must stay.
        axes: labels along (tensor name, dimension) of parameters and buffers.
        readers: layers that mix channels.
        results: what layers give.
        paddings: modules that add zero channels.
        parts: lists of labels of which the same number must stay.
        reshaped: modules of operations whose sizes may be hard-coded, by the
            operation's name.
        parted: views that part or join dimensions of channels: their module, and the
            shape of their result.
        sums: modules of operations that add up channels, and that the code may scale by
            their number, by the operation's name.
        reasons: why labels of class 0 must stay, a short phrase each.
        lost: operations after which channels are no longer constant, by label.
    """

    roots: Tensor
    axes: Mapping[tuple[str, int], Tensor]
    readers: tuple[Reader, ...]
    results: tuple[Result, ...]
    paddings: tuple[Padding, ...]
    parts: tuple[tuple[Tensor, ...], ...]
    reshaped: Mapping[str, str]
    parted: frozenset[tuple[str, tuple[int, ...]]]
    sums: Mapping[str, str]
    reasons: Mapping[int, str]
    lost: Mapping[int, str]


def read_channels(
    model: nn.Module, traced: Traced, held: frozenset[str] = frozenset()
) -> ChannelGraph:
    """Follow the channels of a traced network.

    The channels that an operation without a rule reads must stay, as must those of the
    operations named in `held`, which depend on their number. What is known of a channel
    holds at all sizes of inputs for which the network takes a path that was traced.
    """
    passes = [list(nodes) for _, nodes in groupby(traced.nodes, lambda n: n.graph)]
    uses = _uses(traced, passes)
    state = State(model, traced.tensors, traced.values, uses, held, traced.sized)
    readers: list[list[Reader]] = []
    results: list[list[Result]] = []
    for nodes in passes:
        state.readers, state.results = [], []
        for node in nodes:
            _follow(state, traced, node)
        readers.append(state.readers)
        results.append(state.results)
    return ChannelGraph(
        state.labels.roots(),
        state.axes,
        merged_readers(readers),
        merged_results(results),
        tuple(state.paddings),
        tuple(state.parts),
        state.reshaped,
        frozenset(state.parted),
        state.sums,
        state.labels.reasons(),
        state.lost,
    )


def _uses(traced: Traced, passes: Sequence[Sequence[Node]]) -> Mapping[str, int]:
    """Return how many operations take each tensor, in the pass where most do."""
    most: Counter[str] = Counter()
    for nodes in passes:
        most |= Counter(
            traced.tensors[x]
            for node in nodes
            for x in node.all_input_nodes
            if x in traced.tensors
        )
    return most


def _follow(state: State, traced: Traced, node: Node) -> None:
    if node.op == "output":
        outputs = [state.grid(x) for x in traced.results[node]]
        state.fix(outputs, "output of the network")
        return
    if node.op == "call_function":
        state.grids[node] = _tidy(state, _walk(state, node))
        note_lost(state, node, state.grids[node])
    elif node not in traced.tensors:
        label = state.labels.fixed("joined with an input of the network")
        state.grids[node] = result_grids(node, label)
        if node.op == "placeholder":
            state.fed.add(node)
    if any(x in state.fed for x in node.all_input_nodes):
        state.fed.add(node)


def _walk(state: State, node: Node) -> Any:  # noqa: ANN401
    schema = getattr(node.target, "_schema", None)
    name = schema.name if schema is not None else ""
    kept = state.names if name in WEIGHTED else ()
    args = [
        x if isinstance(x, Node) and x in kept else _argument(state, x)
        for x in node.args
    ]
    if node.target is operator.getitem:
        return state.grid(node.all_input_nodes[0])[args[1]]
    if _is_cut_to_size(state, node):
        return opaque(state, node, args, hard_coded(node))
    overload = f"{name}.{schema.overload_name}" if schema is not None else ""
    rule = RULES.get(overload) or RULES.get(name)
    if rule is None:
        each = rules_pointwise.is_pointwise(node)
        rule = rules_pointwise.pointwise if each else opaque
    try:
        return rule(state, node, args)
    except Unsupported:
        reason = f"no rule for this use of {operation(node)}"
    except (RuntimeError, TypeError, ValueError):
        if not _has_sizes_of_data(node):
            raise
        reason = f"{operation(node)} has sizes that depend on the data"
    return opaque(state, node, args, reason)


def _has_sizes_of_data(node: Node) -> bool:
    """Tell whether sizes of what an operation takes or gives are not known."""
    values = [node.meta.get("val"), *(x.meta.get("val") for x in node.all_input_nodes)]
    tensors = [x for x in pytree.tree_leaves(values) if isinstance(x, torch.Tensor)]
    return any(not isinstance(size, int) for x in tensors for size in x.shape)


def _is_cut_to_size(state: State, node: Node) -> bool:
    """Tell whether a table of numbers is made, or taken in part, for a size."""
    fed = any(x in state.fed for x in node.all_input_nodes)
    return not fed and operation(node) not in FILL and state.told_sizes(node)


def _tidy(state: State, result: Any) -> Any:  # noqa: ANN401
    """Fix channels that stand alone in a tensor: joins would not see them."""
    if isinstance(result, tuple | list):
        return tuple(_tidy(state, part) for part in result)
    if isinstance(result, Grid) and not result.axes():
        state.fix(result, "taken by its number")
    return result


def _argument(state: State, value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Node):
        known = value.meta.get("val")
        if isinstance(known, int | float | bool):
            return known
        if isinstance(known, torch.SymInt | torch.SymFloat | torch.SymBool):
            return unknown(())  # a number that depends on the data
        return state.grid(value)
    if isinstance(value, list | tuple):
        return [_argument(state, inner) for inner in value]
    return value
