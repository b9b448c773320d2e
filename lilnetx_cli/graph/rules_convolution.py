"""Rules of linear layers and convolutions: what they read, and what constants become.

Legend: O output and I input channels of a layer, g groups.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from lilnetx_cli.graph.findings import Reader
from lilnetx_cli.graph.grids import Grid
from lilnetx_cli.graph.nodes import argument, hard_coded, operation
from lilnetx_cli.graph.state import (
    State,
    Unsupported,
    layer_input,
    only_along,
    opaque,
    rule,
)
from lilnetx_cli.graph.tracing import module_of

ONE_WEIGHT = "one weight in two forms"


@rule("aten::linear", weighted=True)
def linear(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """(..., I) x (O, I) -> (..., O)."""
    weight = state.direct(node.args[1])
    if weight is None or state.tensors[weight].dim() != 2:
        raise Unsupported
    return _dense(state, node, layer_input(state, args), weight, -1, "")


@rule("aten::conv1d", "aten::conv2d", "aten::conv3d", weighted=True)
def conv(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """(B, I, *) x (O, I / g, *) -> (B, O, *)."""
    padding = argument(node, args, "padding")
    return _conv(state, node, args, padding, int(argument(node, args, "groups")))


@rule("aten::convolution", weighted=True)
def convolution(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """The general form, of which transposed ones are one kind."""
    groups = int(argument(node, args, "groups"))
    if argument(node, args, "transposed"):
        return _transposed(state, node, args, groups)
    return _conv(state, node, args, argument(node, args, "padding"), groups)


@rule(
    "aten::conv_transpose1d",
    "aten::conv_transpose2d",
    "aten::conv_transpose3d",
    weighted=True,
)
def conv_transpose(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """(B, I, *) x (I, O / g, *) -> (B, O, *)."""
    return _transposed(state, node, args, int(argument(node, args, "groups")))


def _conv(
    state: State,
    node: Node,
    args: Sequence[Any],
    padding: Any,  # noqa: ANN401
    groups: int,
) -> Any:  # noqa: ANN401
    weight, grid = state.direct(node.args[1]), layer_input(state, args)
    axis = _channel_axis(state, weight, grid)
    if weight is None or axis is None:
        raise Unsupported
    padded = padding not in (0, "valid") and any(
        p != 0 for p in (padding if isinstance(padding, list | tuple) else [padding])
    )
    if groups > 1 and not _is_layer(state.model.get_submodule(module_of(node))):
        state.reshaped[node.name] = module_of(node)
        if node.name in state.held:
            return opaque(state, node, args, hard_coded(node))
    if groups > 1 and state.tensors[weight].shape[1] == 1:
        return _depthwise(state, node, grid, weight, axis, padded=padded)
    edge = "padded convolution" if padded else ""
    return _dense(state, node, grid, weight, axis, edge, groups=groups)


def _channel_axis(state: State, weight: str | None, grid: Grid) -> int | None:
    """Return the dimension of channels, counted from the end: images may come alone."""
    wide = state.tensors[weight].dim() - 2 if weight is not None else 0
    return -1 - wide if wide and len(grid.shape) - wide in (1, 2) else None


def _transposed(state: State, node: Node, args: Sequence[Any], groups: int) -> Any:  # noqa: ANN401
    weight, grid = state.direct(node.args[1]), layer_input(state, args)
    axis = _channel_axis(state, weight, grid)
    if weight is None or axis is None or groups > 1:
        raise Unsupported
    # Outputs lie on different numbers of inputs, so a constant is not folded.
    edge = "transposed convolution"
    return _dense(state, node, grid, weight, axis, edge, transposed=True)


def _dense(
    state: State,
    node: Node,
    grid: Grid,
    weight: str,
    axis: int,
    edge: str,
    *,
    groups: int = 1,
    transposed: bool = False,
) -> Grid:
    """Follow channels through a layer; `edge` tells why its borders are different."""
    inputs, known, value = only_along(state, node, grid, axis)
    tensor = state.tensors[weight]
    if transposed:
        tensor = tensor.transpose(0, 1)
    used = (tensor.flatten(2) if tensor.dim() > 2 else tensor[..., None]).ne(0).any(2)
    if not _enters(state, weight, inputs, groups):
        raise Unsupported
    if groups == 1:
        state.labels.unify(state.axis(weight, 0 if transposed else 1), inputs)
    outputs = state.axis(weight, 1 if transposed else 0)
    unread = known & (value == 0)
    even = unread if edge else known  # the same at every place of the output
    place = _input_places(len(outputs), len(inputs), groups)  # (O or 1, I / g)
    fixed = ~(used & ~even[place]).any(1)  # (O,)
    sums = _constant_part(tensor, value[place])
    bias = _bias(state, node, outputs)
    fixed &= ~bias.isnan()
    constant = torch.where(fixed, sums + bias, 0.0)
    obstacle = edge or _shared(state, node, weight)
    silent = unread if obstacle else known
    reads = used & ~silent[place]
    name = module_of(node)
    state.readers.append(
        Reader(name, weight, inputs, known, value, outputs, reads, groups, obstacle)
    )
    return state.add_result(node, axis, outputs, fixed, constant)


def _enters(state: State, weight: str, inputs: Tensor, groups: int) -> bool:
    """Unify the inputs of all layers with one weight; False if they differ in form."""
    known, before = state.entries.setdefault(weight, (groups, inputs))
    if known == groups and len(before) == len(inputs):
        state.labels.unify(before, inputs)
        return True
    state.labels.fix(before, ONE_WEIGHT)
    state.labels.fix(state.axis(weight, 0), ONE_WEIGHT)
    return False


def _constant_part(weight: Tensor, value: Tensor) -> Tensor:
    """Return what constant inputs add to each output, (O,)."""
    if not value.any():
        return torch.zeros(len(weight)).double()
    sums = weight.double().flatten(2).sum(2) if weight.dim() > 2 else weight.double()
    return (sums * value).sum(1)


def _depthwise(
    state: State, node: Node, grid: Grid, weight: str, axis: int, *, padded: bool
) -> Grid:
    inputs, known, value = only_along(state, node, grid, axis)
    kernel = state.tensors[weight].double().flatten(1)  # (O, *)
    outputs = state.axis(weight, 0)
    times = len(outputs) // len(inputs)
    state.labels.unify(outputs, inputs.repeat_interleave(times))
    known, value = known.repeat_interleave(times), value.repeat_interleave(times)
    even = known & (value == 0) if padded else known
    bias = _bias(state, node, outputs)
    fixed = (even | ~kernel.ne(0).any(1)) & ~bias.isnan()
    constant = torch.where(fixed, kernel.sum(1) * value * even + bias, 0.0)
    return state.add_result(node, axis, outputs, fixed, constant, before=known)


def _bias(state: State, node: Node, outputs: Tensor) -> Tensor:
    """Return the bias of a layer, (O,); NaN if it is computed."""
    given = argument(node, node.args, "bias")
    if given is None:
        return torch.zeros(len(outputs)).double()
    name = state.direct(given)
    if name is None:
        reason = f"{operation(node)} with a bias that is computed"
        state.fix(state.grid(given) if isinstance(given, Node) else None, reason)
        state.labels.fix(outputs, reason)
        return torch.full((len(outputs),), torch.nan).double()
    state.labels.unify(state.axis(name, 0), outputs)
    return state.tensors[name].double()


def _input_places(outputs: int, inputs: int, groups: int) -> Tensor:
    """Return the input that each column of a grouped weight means, (O or 1, I / g)."""
    if groups == 1:
        return torch.arange(inputs)[None]
    group = torch.arange(outputs) // (outputs // groups)  # (O,)
    width = inputs // groups
    return group[:, None] * width + torch.arange(width)


def _is_layer(module: nn.Module) -> bool:
    """Tell whether a module is one of torch, whose attributes follow its size."""
    return type(module).__module__.startswith("torch.nn.modules")


def _shared(state: State, node: Node, weight: str) -> str:
    """Return why constants cannot go into the bias of a layer; empty where they can.

    They can where it is called once, with a weight and a bias of its own.
    """
    owner, _, name = weight.rpartition(".")
    module = state.model.get_submodule(owner)
    bias = argument(node, node.args, "bias")
    named = f"{owner}.bias".lstrip(".")
    known = bias is None or (state.direct(bias) == named and state.uses[named] == 1)
    if not _is_layer(module):
        return "layer with code of its own"
    if not known or state.uses[weight] > 1:
        return "layer used twice"
    plain = name == "weight" and module_of(node) == owner
    return "" if plain else "layer with code of its own"
