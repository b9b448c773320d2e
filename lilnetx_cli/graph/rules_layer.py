"""Rules of the other layers with weights: tables and slopes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import Node

from lilnetx_cli.graph.grids import channels
from lilnetx_cli.graph.state import (
    State,
    Unsupported,
    layer_input,
    only_along,
    rule,
)


@rule("aten::embedding", weighted=True)
def embedding(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Rows of (V, D) by index: channels are those of D, rows are not cut."""
    del args
    weight = state.direct(node.args[0])
    if weight is None:
        raise Unsupported
    state.labels.fix(state.axis(weight, 0), "rows of a table")
    labels = state.axis(weight, 1)
    table = state.tensors[weight].double()
    known = (table == table[:1]).all(0)
    return state.add_result(node, -1, labels, known, torch.where(known, table[0], 0.0))


@rule("aten::prelu", weighted=True)
def prelu(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """One slope, or one a channel."""
    weight, grid = state.direct(node.args[1]), layer_input(state, args)
    if weight is None or len(grid.shape) < 2:
        raise Unsupported
    labels, known, value = only_along(state, node, grid, 1)
    slope = state.tensors[weight].double().reshape(-1)
    if len(slope) > 1:
        state.labels.unify(state.axis(weight, 0), labels)
    constant = torch.where(value < 0, value * slope, value)
    return channels(grid.shape, 1, labels, known, constant)
