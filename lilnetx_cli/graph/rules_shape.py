"""Rules of operations that only move elements: views, cuts, joins."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from lilnetx_cli.graph.grids import Grid, collapse, unknown
from lilnetx_cli.graph.state import Padding, State, Unsupported, opaque, rule
from lilnetx_cli.graph.tracing import module_of
from lilnetx_cli.nn.padding import PadChannels


@rule(
    "aten::permute", "aten::transpose", "aten::t", "aten::squeeze", "aten::unsqueeze",
    "aten::movedim", "aten::repeat", "aten::stack",
)  # fmt: skip
def move(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Move whole dimensions; channels must stay along one of them."""
    result = _moved(node, args)
    spread = isinstance(args[0], Grid) and len(args[0].axes()) == len(result.axes())
    return result if spread else _checked(state, result)


@rule("aten::clone", "aten::contiguous", "aten::alias", "aten::detach", "aten::lift",
      "aten::lift_fresh_copy", "aten::dropout")  # fmt: skip
def same(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Pass on what comes."""
    del state, node
    return args[0]


@rule("aten::_to_copy", "aten::to")
def convert(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Change the type, and with it the values."""
    del state, node
    return args[0].forget()


@rule("aten::view", "aten::_unsafe_view", "aten::reshape", "aten::flatten",
      "aten::unflatten", "aten::expand")  # fmt: skip
def view(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Join and part dimensions.

    Where channels end up along several, those of the longest are taken out whole.
    """
    if node.name in state.held:
        return opaque(state, node, args)
    if isinstance(args[1], torch.dtype):  # memory of one type seen as another
        raise Unsupported
    result = _moved(node, args)
    axes = result.axes()
    if args[0].axes():
        state.reshaped[node.name] = module_of(node)
    if len(axes) > 1:
        elastic = max(axes, key=lambda axis: (result.shape[axis], axis))
        planes = result.labels.movedim(elastic, 0).flatten(1)
        state.labels.unify(planes, planes[:, :1])
    return result


@rule("aten::cat")
def cat(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Put tensors side by side."""
    grids = [grid for grid in args[0] if grid.shape != (0,)]
    axis = int(args[1]) if len(args) > 1 else int(node.kwargs.get("dim", 0) or 0)  # type: ignore[arg-type]
    axis %= len(grids[0].shape)

    def joined(name: str) -> Tensor:
        full = [getattr(grid, name).expand(grid.shape) for grid in grids]
        return collapse(torch.cat(full, axis))

    shape = tuple(node.meta["val"].shape)
    result = Grid(shape, joined("labels"), joined("known"), joined("value"))
    if len(result.axes()) < 2:
        return result
    if any(axis in grid.axes() for grid in grids):
        return opaque(state, node, args)
    for first, second in pairwise(grids):
        if first.labels.shape == second.labels.shape:  # along another dimension
            state.labels.unify(first.labels, second.labels)
        else:
            return opaque(state, node, args)
    return Grid(shape, grids[0].labels, result.known, result.value)


@rule("aten::split", "aten::split_with_sizes", "aten::chunk")
def split(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Part a dimension: into equal parts, of which equally much must stay."""
    grid: Grid = args[0]
    axis = int(args[2]) if len(args) > 2 else int(node.kwargs.get("dim", 0) or 0)  # type: ignore[arg-type]
    axis %= len(grid.shape)
    lengths = {value.shape[axis] for value in node.meta["val"]}
    along = axis in grid.axes()
    if along and (node.name in state.held or len(lengths) > 1):
        return opaque(state, node, args)
    parts = tuple(_checked(state, part) for part in _parted(node, args))
    if along and len(parts) > 1:
        state.reshaped[node.name] = module_of(node)
        state.parts.append(tuple(part.along(axis)[0] for part in parts))
    return parts


@rule("aten::slice", "aten::select", "aten::narrow", "aten::roll", "aten::flip")
def part(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Take some indices of a dimension; where those are channels, all stay."""
    grid: Grid = args[0]
    given = args[1] if len(args) > 1 else 0
    if "roll" in str(node.target):
        given = args[2] if len(args) > 2 else list(range(len(grid.shape)))
    axes = given if isinstance(given, list | tuple) else [given]
    touched = {int(axis) % len(grid.shape) for axis in axes}
    whole = tuple(node.meta["val"].shape) == grid.shape and "slice" in str(node.target)
    if touched & set(grid.axes()) and not whole:
        state.fix(grid)
    return _checked(state, _moved(node, args))


@rule("aten::constant_pad_nd", "aten::pad", "aten::reflection_pad1d",
      "aten::reflection_pad2d", "aten::replication_pad2d")  # fmt: skip
def pad(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Put elements around; new channels stay, and the others keep theirs."""
    grid: Grid = args[0]
    amounts = list(args[1])
    mode = args[2] if len(args) > 2 and isinstance(args[2], str) else "constant"
    number = args[2] if len(args) > 2 and not isinstance(args[2], str) else 0.0
    if len(args) > 3:
        number = args[3]
    touched = {len(grid.shape) - 1 - i // 2 for i, a in enumerate(amounts) if a}
    if touched & set(grid.axes()):
        state.reshaped[node.name] = module_of(node)
        if node.name in state.held:
            return opaque(state, node, args)
    if "constant" not in (mode, str(node.target).split(".")[1].split("_")[0]):
        if touched & set(grid.axes()):
            return opaque(state, node, args)
        shape = tuple(node.meta["val"].shape)
        return Grid(shape, grid.labels, grid.known, grid.value)
    fill = float(number or 0.0)

    def padded(x: Tensor, with_: float) -> Tensor:
        return collapse(
            torch.nn.functional.pad(x.expand(grid.shape), amounts, value=with_)
        )

    labels = padded(grid.labels, 0)
    if touched == {1} and grid.axes() == [1]:
        labels = _with_new_channels(state, node, labels, amounts)
    if not touched & set(grid.axes()):
        labels = grid.labels
    known = padded(grid.known.to(torch.uint8), 1).bool()
    value = padded(grid.value, fill)
    spots = Grid(tuple(node.meta["val"].shape), labels, known, value)
    return spots.settled()


def _with_new_channels(
    state: State, node: Node, labels: Tensor, amounts: list[int]
) -> Tensor:
    """Label the channels that a `PadChannels` adds, so that they may leave again."""
    name = module_of(node)
    if not isinstance(state.model.get_submodule(name), PadChannels):
        return labels
    if any(padding.module == name for padding in state.paddings):  # called twice
        return labels
    before, after = (state.labels.fresh(count) for count in amounts[-2:])
    state.paddings.append(Padding(name, before, after))
    flat = labels.reshape(-1)
    inner = flat[len(before) : len(flat) - len(after)]
    return torch.cat([before, inner, after]).reshape(labels.shape)


@rule("aten::pixel_shuffle", "aten::pixel_unshuffle")
def shuffle_pixels(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Mix channels and places: all channels stay."""
    return opaque(state, node, args)


def _moved(node: Node, args: Sequence[Any]) -> Grid:
    """Apply an operation of one tensor to what is known of it."""
    rest = args[1:]

    def apply(tensor: Tensor) -> Tensor:
        if "view" in str(node.target):  # what is spread over memory has none
            return tensor.reshape(rest[0])
        return node.target(tensor, *rest, **_plain(node))  # type: ignore[operator, no-any-return]

    if isinstance(args[0], list | tuple):
        return _stacked(node, args)
    return args[0].each(apply)  # type: ignore[no-any-return]


def _stacked(node: Node, args: Sequence[Any]) -> Grid:
    grids, rest = args[0], args[1:]

    def joined(name: str) -> Tensor:
        full = [getattr(grid, name).expand(grid.shape) for grid in grids]
        return collapse(node.target(full, *rest, **_plain(node)))  # type: ignore[operator]

    shape = tuple(node.meta["val"].shape)
    return Grid(shape, joined("labels"), joined("known"), joined("value"))


def _plain(node: Node) -> dict[str, Any]:
    """Return the named arguments that are of the shape, not of the type."""
    kept = ("dim", "dim0", "dim1", "dims", "implicit", "start", "end", "step")
    return {name: value for name, value in node.kwargs.items() if name in kept}


def _parted(node: Node, args: Sequence[Any]) -> list[Grid]:
    grid, rest = args[0], args[1:]
    pieces = [
        node.target(x.expand(grid.shape), *rest, **_plain(node))  # type: ignore[operator]
        for x in (grid.labels, grid.known, grid.value)
    ]
    return [
        Grid(tuple(label.shape), collapse(label), collapse(known), collapse(value))
        for label, known, value in zip(*pieces, strict=True)
    ]


def _checked(state: State, grid: Grid) -> Grid:
    """Return a grid whose channels lie along one dimension, or are fixed."""
    if len(grid.axes()) < 2:
        return grid
    state.fix(grid)
    return unknown(grid.shape)
