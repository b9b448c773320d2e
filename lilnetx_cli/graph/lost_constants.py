"""Where a channel that was constant stops to be so, for messages."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.fx import Node

from lilnetx_cli.graph.grids import Grid
from lilnetx_cli.graph.nodes import operation
from lilnetx_cli.graph.state import State


def note_lost(state: State, node: Node, result: Any) -> None:  # noqa: ANN401
    """Note the channels of one tensor that an operation takes in constant alone."""
    given = (state.grids.get(x) for x in node.all_input_nodes)
    wide = list(_grids(tuple(given)))
    if len(wide) != 1:
        return  # of several, another may be what varies
    known, varying = _channels(state, wide[0])
    for grid in _grids(result):
        for label in _channels(state, grid)[1] & known - varying:
            state.lost.setdefault(label, operation(node))


def _grids(value: Any) -> Iterator[Grid]:  # noqa: ANN401
    for grid in value if isinstance(value, tuple | list) else [value]:
        if _is_wide(grid):
            yield grid


def _is_wide(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, Grid) and len(value.axes()) == 1


def _channels(state: State, grid: Grid) -> tuple[set[int], set[int]]:
    """Return the classes of channels that are constant, and of those that are not."""
    labels, known, _ = grid.along(grid.axes()[0])

    def classes(chosen: Tensor) -> set[int]:
        return {state.labels.find(label) for label in chosen.tolist()}

    return classes(labels[known]), classes(labels[~known])
