"""Rules of operations that only move elements: views, joins, borders."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from lilnetx_cli.graph.grids import Grid, collapse, unknown
from lilnetx_cli.graph.nodes import argument, hard_coded, operation
from lilnetx_cli.graph.rules_pointwise import aligned
from lilnetx_cli.graph.state import State, Unsupported, mixed, opaque, rule
from lilnetx_cli.graph.tracing import module_of


@rule(
    "aten::permute", "aten::transpose", "aten::t", "aten::squeeze", "aten::unsqueeze",
    "aten::movedim", "aten::repeat",
)  # fmt: skip
def move(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Move whole dimensions; channels must stay along one of them."""
    result = moved(node, args)
    spread = len(args[0].axes()) == len(result.axes())
    return result if spread else checked(state, node, result)


@rule("aten::clone", "aten::contiguous", "aten::alias", "aten::detach", "aten::lift",
      "aten::lift_fresh_copy", "aten::dropout")  # fmt: skip
def same(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Pass on what comes."""
    del state, node
    return args[0]


@rule("aten::_assert_tensor_metadata")
def check(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Look at the type of a tensor, and give nothing."""
    del state, node, args


@rule("aten::zeros", "aten::ones", "aten::full", "aten::new_zeros", "aten::new_ones",
      "aten::new_full")  # fmt: skip
def made(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """One number everywhere, in a shape that the code tells."""
    name = operation(node).removeprefix("new_")
    number = {"zeros": 0.0, "ones": 1.0}.get(name)
    told = number is None and state.told_sizes(node)
    if number is None:
        number = argument(node, args, "fill_value")
    blank = unknown(tuple(node.meta["val"].shape), state.labels.fixed(hard_coded(node)))
    if not isinstance(number, int | float) or told:
        return blank
    value = torch.full_like(blank.value, float(number))
    return replace(blank, known=torch.ones_like(blank.known), value=value)


@rule("aten::view", "aten::_unsafe_view", "aten::reshape", "aten::flatten",
      "aten::unflatten", "aten::expand")  # fmt: skip
def view(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Join and part dimensions.

    Where channels end up along several, those along one of them are taken out whole:
    along that whose size the code leaves open, or the longest.
    """
    if node.name in state.held:
        return opaque(state, node, args, hard_coded(node))
    if isinstance(args[1], torch.dtype):  # memory of one type seen as another
        raise Unsupported
    result = moved(node, args)
    if args[0].axes():
        state.reshaped[node.name] = module_of(node)
    axes = result.axes()
    before = [args[0].shape[axis] for axis in args[0].axes()]
    if before != [result.shape[axis] for axis in axes]:
        state.parted.add((module_of(node), result.shape))
    if len(axes) < 2:
        return result
    sizes = args[1] if isinstance(args[1], list | tuple) else []
    opened = [axis for axis in axes if axis < len(sizes) and sizes[axis] == -1]
    longest = max(axes, key=lambda axis: (result.shape[axis], axis))
    return coupled(state, result, opened[0] if opened else longest)


@rule("aten::pixel_shuffle", "aten::pixel_unshuffle")
def shuffle_pixels(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """(B, C r r, H, W) -> (B, C, r H, r W), or back: channels leave r r at a time."""
    result = moved(node, args)
    axis = len(result.shape) - 3
    if args[0].axes() not in ([], [axis]) or (result.axes() and result.shape[axis] < 2):
        return mixed(state, node, args)
    return coupled(state, result, axis)


@rule("aten::channel_shuffle")
def shuffle_channels(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """(B, g C, *) as (B, g, C, *) -> (B, C, g, *): channels leave g at a time."""
    grid, groups = args[0], int(args[1])
    if grid.axes() not in ([], [1]):
        return mixed(state, node, args)
    parted = (grid.shape[0], groups, grid.shape[1] // groups, *grid.shape[2:])
    wide = coupled(state, grid.each(lambda x: x.reshape(parted)), 2)
    return wide.each(lambda x: x.transpose(1, 2).reshape(grid.shape))


def coupled(state: State, grid: Grid, axis: int) -> Grid:
    """Say that channels at one index of a dimension leave together."""
    planes = grid.labels.movedim(axis, 0).flatten(1)  # (n, others)
    state.labels.unify(planes, planes[:, :1])
    most = max(range(planes.shape[1]), key=lambda x: len(set(planes[:, x].tolist())))
    ones = [1] * len(grid.shape)
    ones[axis] = len(planes)
    return replace(grid, labels=planes[:, most].reshape(ones))


@rule("aten::cat")
def cat(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Put tensors side by side."""
    grids = [grid for grid in args[0] if grid.shape != (0,)]
    axis = int(argument(node, args, "dim")) % len(grids[0].shape)

    def joined(name: str) -> Tensor:
        full = [getattr(grid, name).expand(grid.shape) for grid in grids]
        return collapse(torch.cat(full, axis))

    shape = tuple(node.meta["val"].shape)
    result = Grid(shape, joined("labels"), joined("known"), joined("value"))
    if axis not in result.axes():  # where a part begins may depend on sizes
        result = result.settled()
    if len(result.axes()) < 2:
        return result
    if any(axis in grid.axes() for grid in grids):
        raise Unsupported
    try:  # along another dimension; one label may stand for all channels of a part
        form = np.broadcast_shapes(*(grid.labels.shape for grid in grids))
    except ValueError:
        raise Unsupported from None
    labels = [grid.labels.expand(form) for grid in grids]
    for first, second in pairwise(labels):
        state.labels.unify(first, second)
    return Grid(shape, labels[0], result.known, result.value)


@rule("aten::stack")
def stack(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Put tensors of one shape along a new dimension; their channels are coupled."""
    grids: list[Grid] = args[0]
    axis = int(argument(node, args, "dim")) % (len(grids[0].shape) + 1)
    labels = aligned(state, node, grids, grids[0].shape).unsqueeze(axis)

    def joined(name: str) -> Tensor:
        full = [getattr(grid, name).expand(grid.shape) for grid in grids]
        return collapse(torch.stack(full, axis))

    shape = tuple(node.meta["val"].shape)
    return Grid(shape, labels, joined("known"), joined("value"))


def moved(node: Node, args: Sequence[Any]) -> Grid:
    """Apply an operation of one tensor to what is known of it."""
    rest = args[1:]

    def apply(tensor: Tensor) -> Tensor:
        if "view" in str(node.target):  # what is spread over memory has none
            return tensor.reshape(rest[0])
        return node.target(tensor, *rest, **shaping(node))  # type: ignore[operator, no-any-return]

    return args[0].each(apply)  # type: ignore[no-any-return]


def shaping(node: Node) -> dict[str, Any]:
    """Return the named arguments that are of the shape, not of the type."""
    kept = ("dim", "dim0", "dim1", "dims", "implicit", "start", "end", "step")
    return {name: value for name, value in node.kwargs.items() if name in kept}


def checked(state: State, node: Node, grid: Grid) -> Grid:
    """Return a grid whose channels lie along one dimension, or are fixed."""
    if len(grid.axes()) < 2:
        return grid
    reason = f"{operation(node)} spreads channels over two dimensions"
    state.fix(grid, reason)
    return unknown(grid.shape, state.labels.fixed(reason))
