"""Walk through a network, operation by operation, and follow its channels."""

import operator
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from lilnetx_cli.graph import rules_layer, rules_pointwise, rules_shape
from lilnetx_cli.graph.grids import Grid, unknown
from lilnetx_cli.graph.state import (
    RULES,
    WEIGHTED,
    Padding,
    Reader,
    Result,
    State,
    Unsupported,
    opaque,
    result_grids,
)
from lilnetx_cli.graph.tracing import Traced

__all__ = ["ChannelGraph", "read_channels"]
# Element by element, though torch does not say so.
UNTAGGED = frozenset(
    f"aten::{name}"
    for name in ("hardswish", "relu6", "selu", "elu", "celu", "softplus",
                 "hardsigmoid", "silu", "mish", "gelu", "log_sigmoid", "softsign")
)  # fmt: skip
# Importing them registers their rules.
_ROOMS = (rules_layer, rules_pointwise, rules_shape)


@dataclass(frozen=True, eq=False)
class ChannelGraph:
    """The channels of a network.

    Attributes:
        roots: class of each label; class 0 is what must stay.
        axes: labels along (tensor name, dimension) of parameters and buffers.
        readers: layers that mix channels.
        results: what layers give.
        paddings: modules that add zero channels.
        parts: lists of labels of which equally many must stay.
        reshaped: operations that are told sizes, by name, and their modules.
    """

    roots: Tensor
    axes: Mapping[tuple[str, int], Tensor]
    readers: tuple[Reader, ...]
    results: tuple[Result, ...]
    paddings: tuple[Padding, ...]
    parts: tuple[tuple[Tensor, ...], ...]
    reshaped: Mapping[str, str]


def read_channels(
    model: nn.Module, traced: Traced, held: frozenset[str] = frozenset()
) -> ChannelGraph:
    """Follow the channels of a traced network.

    An operation without a rule keeps all channels that it meets; `held` names
    operations that are to do so, too.
    """
    uses = Counter(
        traced.tensors[x]
        for node in traced.nodes
        for x in node.all_input_nodes
        if x in traced.tensors
    )
    state = State(model, traced.tensors, traced.values, uses, held)
    for node in traced.nodes:
        if node.op == "call_function":
            state.grids[node] = _tidy(state, _walk(state, node))
        elif node.op == "output":
            state.fix([state.grid(x) for x in node.all_input_nodes])
        elif node not in traced.tensors:
            state.grids[node] = result_grids(node)
    return ChannelGraph(
        state.labels.roots(),
        state.axes,
        tuple(state.readers),
        tuple(state.results),
        tuple(state.paddings),
        tuple(state.parts),
        state.reshaped,
    )


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
    tags = getattr(node.target, "tags", ())
    rule = RULES.get(name)
    if rule is None and (torch.Tag.pointwise in tags or name in UNTAGGED):
        rule = rules_pointwise.pointwise
    if rule is None:
        return opaque(state, node, args)
    try:
        return rule(state, node, args)
    except Unsupported:
        return opaque(state, node, args)


def _tidy(state: State, result: Any) -> Any:  # noqa: ANN401
    """Fix channels that stand alone in a tensor: they would be taken for none."""
    if isinstance(result, tuple | list):
        return tuple(_tidy(state, part) for part in result)
    if not isinstance(result, Grid) or result.axes() or not result.labels.any():
        return result
    state.fix(result)
    return replace(result, labels=torch.zeros_like(result.labels))


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
