"""Rules of operations that compute each element on its own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from lilnetx_cli.graph.grids import Grid, unknown
from lilnetx_cli.graph.nodes import argument, operation
from lilnetx_cli.graph.state import State, Unsupported, mixed, rule

# Element by element, though torch does not say so of all of their forms.
UNTAGGED = frozenset(
    f"aten::{name}"
    for name in ("__and__", "__or__", "celu", "elu", "floor_divide", "gelu",
                 "hardsigmoid", "hardswish", "isclose", "log_sigmoid", "masked_fill",
                 "mish", "relu6", "rsub", "selu", "silu", "softplus", "where")
)  # fmt: skip


def is_pointwise(node: Node) -> bool:
    """Tell whether an operation computes each element on its own."""
    schema = getattr(node.target, "_schema", None)
    named = schema is not None and schema.name in UNTAGGED
    return named or torch.Tag.pointwise in getattr(node.target, "tags", ())


def pointwise(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Tell what an operation makes of each element on its own."""
    grids = [x for x in args if isinstance(x, Grid)]
    value = node.meta.get("val")
    plain = all(not isinstance(x, list | tuple) for x in args)
    computed = any(isinstance(x, Node) for x in node.kwargs.values())
    if not isinstance(value, Tensor) or not grids or computed or not plain:
        raise Unsupported
    shape = tuple(value.shape)
    grids = [_reach(grid, len(shape)) for grid in grids]
    labels = aligned(state, node, grids, shape)
    known, constant = _evaluate(node, args, len(shape))
    if state.told_sizes(node):
        known, constant = _at_any_number(node, args, len(shape))
    known, constant = _sure(operation(node), grids, known, constant)
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


def aligned(
    state: State, node: Node, grids: Sequence[Grid], shape: tuple[int, ...]
) -> Tensor:
    """Unify the channels of operands that stand side by side; return the labels.

    The operands have the dimensions of the result.
    """
    wide = [grid for grid in grids if grid.axes()]
    if not wide:
        marked = [grid.labels for grid in grids if grid.labels.any()]
        return marked[0] if marked else torch.zeros((1,) * len(shape)).long()
    for grid in wide:
        for other in grids:
            if other is not grid and _meets(grid, other):
                state.labels.unify(grid.labels, other.labels)
    if len({grid.labels.shape for grid in wide}) == 1:
        return wide[0].labels
    reason = f"{operation(node)} joins channels along two dimensions"
    state.fix(wide, reason)
    return torch.full((1,) * len(shape), state.labels.fixed(reason))


def _meets(grid: Grid, other: Grid) -> bool:
    """Tell whether another operand has indices where a grid has channels."""
    return any(other.shape[axis] > 1 for axis in grid.axes())


def _evaluate(
    node: Node, args: Sequence[Any], dimensions: int
) -> tuple[Tensor, Tensor]:
    """Return where the result is known, and what it is there."""
    blank = unknown((1,) * dimensions)
    known = torch.ones_like(blank.known)
    for grid in args:
        if isinstance(grid, Grid):
            known = known & _reach(grid, dimensions).known
    if not known.any():
        return blank.known, blank.value
    values = [_typed(x, given) for x, given in zip(args, node.args, strict=True)]
    try:
        result = node.target(*values, **node.kwargs)  # type: ignore[operator]
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return blank.known, blank.value
    return known & result.isfinite(), result.double()


def _at_any_number(
    node: Node, args: Sequence[Any], dimensions: int
) -> tuple[Tensor, Tensor]:
    """Return the same, whatever the numbers are: zero over one of them is zero."""
    blank = unknown((1,) * dimensions)
    if operation(node) != "div" or not isinstance(args[0], Grid):
        return blank.known, blank.value
    first = _reach(args[0], dimensions)
    number = not isinstance(args[1], Grid)
    return first.known & (first.value == 0) & number, blank.value


def _typed(value: Any, given: Any) -> Any:  # noqa: ANN401
    """Return what is known of an argument as integers or truth, if it is such."""
    if not isinstance(value, Grid):
        return value
    tensor = given.meta.get("val") if isinstance(given, Node) else None
    if isinstance(tensor, Tensor) and not tensor.is_floating_point():
        return value.value.to(tensor.dtype)
    return value.value


def _sure(
    name: str, grids: Sequence[Grid], known: Tensor, constant: Tensor
) -> tuple[Tensor, Tensor]:
    """Add what is known though not all operands are: zero times anything, a choice."""
    if name == "mul":
        for grid in grids:
            zero = grid.known & (grid.value == 0)
            known = known | zero
            constant = torch.where(zero, 0.0, constant)
    return known, constant


@rule("aten::where", "aten::masked_fill")
def choose(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Take one of two values; where these are equal, it does not matter which."""
    result = pointwise(state, node, args)
    masked = "mask" in operation(node)
    first = args[0 if masked else 1]
    second = argument(node, args, "value" if masked else "other")
    told = state.told_sizes(node)
    one, two = (_option(x, len(result.shape), told=told) for x in (first, second))
    same = one.known & two.known & (one.value == two.value)
    value = torch.where(same, one.value, result.value)
    return Grid(result.shape, result.labels, result.known | same, value)


def _option(value: Any, dimensions: int, *, told: bool) -> Grid:  # noqa: ANN401
    if isinstance(value, Grid):
        return _reach(value, dimensions)
    blank = unknown((1,) * dimensions)
    if told:
        return blank
    full = torch.full_like(blank.value, float(value))
    return Grid(blank.shape, blank.labels, torch.ones_like(blank.known), full)


@rule("aten::_to_copy", "aten::to", "aten::type_as")
def convert(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Change the type; values stay known where that does not change them."""
    del state
    grid, dtype = args[0], node.meta["val"].dtype
    if dtype.is_complex:
        return grid.forget()
    wide = dtype in (torch.float32, torch.float64)
    known = grid.known if wide else grid.known & (grid.value.to(dtype) == grid.value)
    return Grid(grid.shape, grid.labels, known, torch.where(known, grid.value, 0.0))


@rule("aten::zeros_like", "aten::ones_like", "aten::full_like")
def filled(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """One number everywhere, in the shape and the channels of another tensor."""
    number = {"zeros_like": 0.0, "ones_like": 1.0}.get(operation(node))
    told = number is None and state.told_sizes(node)
    if number is None:
        number = argument(node, args, "fill_value")
    if not isinstance(number, int | float) or told:
        raise Unsupported
    known = torch.ones((1,) * len(args[0].shape), dtype=torch.bool)
    value = torch.full(known.shape, float(number)).double()
    return Grid(args[0].shape, args[0].labels, known, value)


@rule("aten::glu")
def glu(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """One half of a dimension times a function of the other; (2n) -> (n)."""
    grid: Grid = args[0]
    axis = int(argument(node, args, "dim")) % len(grid.shape)
    shape = tuple(node.meta["val"].shape)
    count = shape[axis]
    if count < 2 and axis in grid.axes():  # of two channels each needs the other
        return mixed(state, node, args)
    first, second = (
        grid.each(lambda x, start=start: x.narrow(axis, start, count))  # type: ignore[misc]
        for start in (0, count)
    )
    labels = aligned(state, node, [first, second], shape)
    known = first.known & (second.known | (first.value == 0))
    value = torch.where(known, first.value * torch.sigmoid(second.value), 0.0)
    return Grid(shape, labels, known, value)
