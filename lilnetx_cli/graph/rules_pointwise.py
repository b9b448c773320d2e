"""Rules of operations without weights: element by element, pools, reductions."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from lilnetx_cli.graph.grids import Grid, unknown
from lilnetx_cli.graph.state import State, Unsupported, opaque, rule


def pointwise(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Tell what an operation makes of each element on its own."""
    grids = [x for x in args if isinstance(x, Grid)]
    value = node.meta.get("val")
    plain = all(not isinstance(x, list | tuple) for x in args)
    if not isinstance(value, Tensor) or not grids or node.kwargs or not plain:
        return opaque(state, node, args)
    shape = tuple(value.shape)
    labels = _aligned(state, [_reach(g, len(shape)) for g in grids], shape)
    known, constant = _evaluate(node, args, grids, len(shape))
    if str(node.target).startswith("aten.mul"):
        known, constant = _with_zeros(grids, known, constant, len(shape))
    return Grid(shape, labels, known, torch.where(known, constant, 0.0))


def _reach(grid: Grid, dimensions: int) -> Grid:
    """Return a grid with dimensions of size 1 in front."""
    more = (1,) * (dimensions - len(grid.shape))
    return Grid(
        (*more, *grid.shape),
        grid.labels.reshape(more + grid.labels.shape),
        grid.known.reshape(more + grid.known.shape),
        grid.value.reshape(more + grid.value.shape),
    )


def _aligned(state: State, grids: list[Grid], shape: tuple[int, ...]) -> Tensor:
    """Unify the channels of operands that stand side by side; return the labels."""
    wide = [g for g in grids if g.axes()]
    total = torch.zeros((1,) * len(shape), dtype=torch.int64)
    for grid in wide:
        for other in grids:
            if other is not grid and _meets(grid, other):
                state.labels.unify(grid.labels, other.labels)
        if total.shape == grid.labels.shape or total.numel() == 1:
            total = grid.labels
        else:  # channels along different dimensions of one tensor
            state.fix([grid, *wide])
            total = torch.zeros_like(
                total[:1].reshape(-1)[:1].reshape((1,) * len(shape))
            )
            break
    return total


def _meets(grid: Grid, other: Grid) -> bool:
    """Tell whether another operand has indices where a grid has channels."""
    return any(other.shape[axis] > 1 for axis in grid.axes())


def _evaluate(
    node: Node, args: Sequence[Any], grids: list[Grid], dimensions: int
) -> tuple[Tensor, Tensor]:
    """Return where the result is known, and what it is there."""
    blank = unknown((1,) * dimensions)
    known = torch.ones_like(blank.known)
    for grid in grids:
        known = known & _reach(grid, dimensions).known
    if not known.any():
        return blank.known, blank.value
    values = [x.value if isinstance(x, Grid) else x for x in args]
    try:
        result = node.target(*values).double()  # type: ignore[operator]
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return blank.known, blank.value
    return known & result.isfinite(), result


def _with_zeros(
    grids: list[Grid], known: Tensor, constant: Tensor, dimensions: int
) -> tuple[Tensor, Tensor]:
    """Return the same, where one factor is zero also known, and zero."""
    for grid in grids:
        reached = _reach(grid, dimensions)
        zero = reached.known & (reached.value == 0)
        known = known | zero
        constant = torch.where(zero, 0.0, constant)
    return known, constant


SPATIAL = {f"{n}d": n for n in (1, 2, 3)}


@rule(
    *(f"aten::max_pool{d}" for d in SPATIAL),
    *(f"aten::adaptive_avg_pool{d}" for d in SPATIAL),
    *(f"aten::_adaptive_avg_pool{d}" for d in SPATIAL),
    *(f"aten::adaptive_max_pool{d}" for d in SPATIAL),
    *(f"aten::max_pool{d}_with_indices" for d in SPATIAL),
    *(f"aten::avg_pool{d}" for d in SPATIAL),
    "aten::upsample_nearest1d", "aten::upsample_nearest2d", "aten::upsample_nearest3d",
    "aten::upsample_linear1d", "aten::upsample_bilinear2d", "aten::upsample_bicubic2d",
    "aten::upsample_trilinear3d", "aten::_upsample_bilinear2d_aa",
)  # fmt: skip
def resample(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Change the places of each channel on its own."""
    grid: Grid = args[0].settled()
    value = node.meta["val"]
    several = isinstance(value, list | tuple)
    shape = tuple((value[0] if several else value).shape)
    rank = 2 + next(n for ending, n in SPATIAL.items() if ending in str(node.target))
    places = several and any(user.args[1] == 1 and user.users for user in node.users)
    odd = len(shape) != len(grid.shape) or len(shape) != rank or places
    if odd or any(axis > 1 for axis in grid.axes()):
        return opaque(state, node, args)
    known, constant = grid.known, grid.value
    if "avg_pool" in str(node.target) and "adaptive" not in str(node.target):
        known = known & (constant == 0)  # padding counts in the mean
    result = Grid(shape, grid.labels, known, torch.where(known, constant, 0.0))
    return (result, unknown(tuple(value[1].shape))) if several else result


@rule("aten::mean", "aten::amax", "aten::amin", "aten::sum")
def reduce(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Take dimensions together; channels along them stay."""
    grid: Grid = args[0].settled()
    dimensions = (
        args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else None
    )
    keep = bool(args[2]) if len(args) > 2 else False
    if not dimensions or node.kwargs.get("dtype") is not None:
        return opaque(state, node, args)
    rank = len(grid.shape)
    gone = sorted({axis % rank for axis in dimensions}, reverse=True)
    if set(gone) & set(grid.axes()):
        return opaque(state, node, args)
    known, value = grid.known, grid.value
    if "sum" in str(node.target):
        known = known & (value == 0)
    labels = grid.labels
    for axis in gone if not keep else []:
        labels, known, value = (x.squeeze(axis) for x in (labels, known, value))
    shape = tuple(node.meta["val"].shape)
    return Grid(shape, labels, known, torch.where(known, value, 0.0))


@rule("aten::_softmax", "aten::softmax", "aten::_log_softmax", "aten::log_softmax")
def softmax(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Compare along one dimension; channels along others pass."""
    grid: Grid = args[0]
    if not grid.shape:
        raise Unsupported
    if int(args[1]) % len(grid.shape) in grid.axes():
        return opaque(state, node, args)
    return grid.forget()
