"""Rules of operations that take parts of a tensor, or put elements around it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from lilnetx_cli.graph.findings import Padding
from lilnetx_cli.graph.grids import Grid, collapse
from lilnetx_cli.graph.nodes import argument, hard_coded, operation
from lilnetx_cli.graph.rules_shape import checked, moved, shaping
from lilnetx_cli.graph.state import State, mixed, opaque, rule
from lilnetx_cli.graph.tracing import module_of
from lilnetx_cli.nn.padding import PadChannels


@rule("aten::split", "aten::split_with_sizes", "aten::chunk")
def split(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Part a dimension: equal parts of channels must keep the same number each.

    Unequal parts have hard-coded sizes: all channels stay, what is known passes.
    """
    grid: Grid = args[0]
    axis = int(argument(node, args, "dim")) % len(grid.shape)
    lengths = {value.shape[axis] for value in node.meta["val"]}
    along = axis in grid.axes()
    fixed = node.name in state.held or len(lengths) > 1 or state.told_sizes(node)
    if along and fixed:
        state.fix(grid, hard_coded(node))
    parts = tuple(checked(state, node, part) for part in _parted(node, args))
    if along and not fixed and len(parts) > 1:
        state.reshaped[node.name] = module_of(node)
        state.parts.append(tuple(part.along(axis)[0] for part in parts))
    return parts


@rule("aten::unbind")
def unbind(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Take a dimension apart; where it is that of channels, all stay."""
    grid: Grid = args[0]
    if int(argument(node, args, "dim")) % len(grid.shape) in grid.axes():
        state.fix(grid, hard_coded(node))
    return tuple(checked(state, node, part) for part in _parted(node, args))


@rule("aten::slice", "aten::select", "aten::narrow", "aten::roll", "aten::index_select",
      "aten::flip")  # fmt: skip
def part(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Take some indices of a dimension; where those are channels, all stay."""
    grid: Grid = args[0]
    name = operation(node)
    given = argument(node, args, "dims" if name in ("roll", "flip") else "dim")
    if name == "roll" and not given:
        given = list(range(len(grid.shape)))
    axes = given if isinstance(given, list | tuple) else [given]
    touched = {int(axis) % len(grid.shape) for axis in axes}
    told = state.told_sizes(node)
    same = tuple(node.meta["val"].shape) == grid.shape
    whole = same and name == "slice" and not told
    if touched & set(grid.axes()) and not whole and name != "flip":
        reason = f"{name} mixes channels" if name == "roll" else hard_coded(node)
        state.fix(grid, reason)
        grid = grid.forget() if told else grid
    if name == "index_select":
        return _some(node, grid.settled())
    return checked(state, node, moved(node, [grid, *args[1:]]))


def _some(node: Node, grid: Grid) -> Grid:
    """Return what is known of some indices, whichever they are."""
    shape = tuple(node.meta["val"].shape)
    if all(shape[axis] == grid.shape[axis] for axis in grid.axes()):
        return Grid(shape, grid.labels, grid.known, grid.value)
    labels = grid.labels.flatten()[:1].reshape((1,) * len(shape))
    return Grid(shape, labels, torch.zeros_like(labels).bool(), labels.double() * 0)


def _parted(node: Node, args: Sequence[Any]) -> list[Grid]:
    grid, rest = args[0], args[1:]
    pieces = [
        node.target(x.expand(grid.shape), *rest, **shaping(node))  # type: ignore[operator]
        for x in (grid.labels, grid.known, grid.value)
    ]
    return [
        Grid(tuple(label.shape), collapse(label), collapse(known), collapse(value))
        for label, known, value in zip(*pieces, strict=True)
    ]


@rule("aten::constant_pad_nd", "aten::pad", "aten::reflection_pad1d",
      "aten::reflection_pad2d", "aten::replication_pad2d")  # fmt: skip
def pad(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Put elements around; new channels stay, and the others keep theirs."""
    grid: Grid = args[0]
    amounts = list(args[1])
    mode = argument(node, args, "mode") or "constant"
    touched = {len(grid.shape) - 1 - i // 2 for i, a in enumerate(amounts) if a}
    along = bool(touched & set(grid.axes()))
    if along:
        state.reshaped[node.name] = module_of(node)
        if node.name in state.held:
            return opaque(state, node, args, hard_coded(node))
    constant = mode == "constant" and operation(node) in ("pad", "constant_pad_nd")
    if not constant:
        if along:
            return mixed(state, node, args)
        inner = grid.settled()
        shape = tuple(node.meta["val"].shape)
        return Grid(shape, inner.labels, inner.known, inner.value)
    fill = float(argument(node, args, "value") or 0.0)
    if state.told_sizes(node):
        grid = _padded_at_will(grid, fill)

    def padded(x: Tensor, with_: float) -> Tensor:
        return collapse(
            torch.nn.functional.pad(x.expand(grid.shape), amounts, value=with_)
        )

    labels = padded(grid.labels, state.labels.fixed(hard_coded(node)))
    if touched == {1} and grid.axes() == [1]:
        labels = _with_new_channels(state, node, labels, amounts)
    if not along:
        labels = grid.labels
    known = padded(grid.known.to(torch.uint8), 1).bool()
    value = padded(grid.value, fill)
    spots = Grid(tuple(node.meta["val"].shape), labels, known, value)
    return spots.settled()


def _padded_at_will(grid: Grid, fill: float) -> Grid:
    """Return what is known of a tensor around which there is more at other sizes."""
    known = grid.known & (grid.value == 0) & (fill == 0)
    return Grid(grid.shape, grid.labels, known, torch.zeros_like(grid.value))


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
