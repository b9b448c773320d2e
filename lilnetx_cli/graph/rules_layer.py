"""Rules of layers with weights: what they read, and what they make of constants."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from lilnetx_cli.graph.grids import Grid, channels
from lilnetx_cli.graph.state import (
    Reader,
    Result,
    State,
    Unsupported,
    only_along,
    opaque,
    result_grids,
    rule,
)
from lilnetx_cli.graph.tracing import module_of


def _argument(node: Node, args: Sequence[Any], place: int, default: Any) -> Any:  # noqa: ANN401
    """Return an argument of an operation, by place or by name."""
    if place < len(args):
        return args[place]
    name = node.target._schema.arguments[place].name  # type: ignore[union-attr]
    return node.kwargs.get(name, default)


def _input(state: State, args: Sequence[Any]) -> Grid:
    """Return what is known of the input of a layer, which may be a parameter, too."""
    given = args[0]
    return state.grid(given) if isinstance(given, Node) else given  # type: ignore[no-any-return]


@rule("aten::linear", weighted=True)
def linear(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """(..., I) x (O, I) -> (..., O)."""
    weight = state.direct(node.args[1])
    if weight is None or state.tensors[weight].dim() != 2:
        raise Unsupported
    return _dense(state, node, _input(state, args), weight, -1, padded=False)


@rule("aten::conv1d", "aten::conv2d", "aten::conv3d", weighted=True)
def conv(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """(B, I, *) x (O, I / g, *) -> (B, O, *)."""
    padding = _argument(node, args, 4, 0)
    return _conv(state, node, args, padding, int(_argument(node, args, 6, 1)))


@rule("aten::convolution", weighted=True)
def convolution(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """The general form, of which transposed ones are one kind."""
    if args[6]:
        return _transposed(state, node, args, int(args[8]))
    return _conv(state, node, args, args[4], int(args[8]))


@rule(
    "aten::conv_transpose1d",
    "aten::conv_transpose2d",
    "aten::conv_transpose3d",
    weighted=True,
)
def conv_transpose(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """(B, I, *) x (I, O / g, *) -> (B, O, *)."""
    return _transposed(state, node, args, int(_argument(node, args, 6, 1)))


def _conv(
    state: State,
    node: Node,
    args: Sequence[Any],
    padding: Any,  # noqa: ANN401
    groups: int,
) -> Any:  # noqa: ANN401
    weight, grid = state.direct(node.args[1]), _input(state, args)
    if weight is None or state.tensors[weight].dim() != len(grid.shape):
        raise Unsupported
    padded = padding not in (0, "valid") and any(
        p != 0 for p in (padding if isinstance(padding, list | tuple) else [padding])
    )
    if groups > 1 and state.tensors[weight].shape[1] == 1:
        return _depthwise(state, node, grid, weight, padded=padded)
    return _dense(state, node, grid, weight, 1, padded=padded, groups=groups)


def _transposed(state: State, node: Node, args: Sequence[Any], groups: int) -> Any:  # noqa: ANN401
    weight, grid = state.direct(node.args[1]), _input(state, args)
    if weight is None or state.tensors[weight].dim() != len(grid.shape) or groups > 1:
        raise Unsupported
    # Outputs lie on different numbers of inputs, so a constant is not folded.
    return _dense(state, node, grid, weight, 1, padded=True, transposed=True)


def _dense(
    state: State,
    node: Node,
    grid: Grid,
    weight: str,
    axis: int,
    *,
    padded: bool,
    groups: int = 1,
    transposed: bool = False,
) -> Grid:
    inputs, known, value = only_along(state, grid, axis)
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
    even = known if not padded else unread  # the same at every place of the output
    place = _input_places(len(outputs), len(inputs), groups)  # (O or 1, I / g)
    fixed = ~(used & ~even[place]).any(1)  # (O,)
    sums = _constant_part(tensor, value[place])
    bias = _bias(state, node, outputs)
    fixed &= ~bias.isnan()
    constant = torch.where(fixed, sums + bias, 0.0)
    foldable = not padded and _is_own(state, node, weight)
    silent = known if foldable else unread
    reads = used & ~silent[place]
    name = module_of(node)
    state.readers.append(
        Reader(name, weight, inputs, known, value, outputs, reads, groups, foldable)
    )
    return _result(state, node, axis, outputs, fixed, constant)


def _enters(state: State, weight: str, inputs: Tensor, groups: int) -> bool:
    """Unify the inputs of all layers with one weight; False if they differ in form."""
    known, before = state.entries.setdefault(weight, (groups, inputs))
    if known == groups and len(before) == len(inputs):
        state.labels.unify(before, inputs)
        return True
    state.labels.fix(before)
    state.labels.fix(state.axis(weight, 0))
    return False


def _constant_part(weight: Tensor, value: Tensor) -> Tensor:
    """Return what constant inputs add to each output, (O,)."""
    if not value.any():
        return torch.zeros(len(weight)).double()
    sums = weight.double().flatten(2).sum(2) if weight.dim() > 2 else weight.double()
    return (sums * value).sum(1)


def _depthwise(
    state: State, node: Node, grid: Grid, weight: str, *, padded: bool
) -> Grid:
    inputs, known, value = only_along(state, grid, 1)
    kernel = state.tensors[weight].double().flatten(1)  # (O, *)
    outputs = state.axis(weight, 0)
    times = len(outputs) // len(inputs)
    state.labels.unify(outputs, inputs.repeat_interleave(times))
    known, value = known.repeat_interleave(times), value.repeat_interleave(times)
    even = known & (value == 0) if padded else known
    bias = _bias(state, node, outputs)
    fixed = (even | ~kernel.ne(0).any(1)) & ~bias.isnan()
    constant = torch.where(fixed, kernel.sum(1) * value * even + bias, 0.0)
    return _result(state, node, 1, outputs, fixed, constant)


def _result(
    state: State, node: Node, axis: int, labels: Tensor, known: Tensor, value: Tensor
) -> Grid:
    state.results.append(Result(module_of(node), labels, known, value))
    shape = tuple(node.meta["val"].shape)
    return channels(shape, axis % len(shape), labels, known, value)


def _bias(state: State, node: Node, outputs: Tensor) -> Tensor:
    """Return the bias of a layer, (O,); NaN if it is computed."""
    given = node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
    if given is None:
        return torch.zeros(len(outputs)).double()
    name = state.direct(given)
    if name is None:
        state.fix(state.grid(given) if isinstance(given, Node) else None)
        state.labels.fix(outputs)
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


def _is_own(state: State, node: Node, weight: str) -> bool:
    """Tell whether a layer is called once, and its weight and bias are its own."""
    owner, _, name = weight.rpartition(".")
    placeholder = node.args[1]
    module = state.model.get_submodule(owner)
    bias = node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
    named = f"{owner}.bias".lstrip(".")
    known = bias is None or (state.direct(bias) == named and state.uses[named] == 1)
    alone = isinstance(placeholder, Node) and state.uses[weight] == 1
    plain = type(module).__module__.startswith("torch.nn.modules")
    return name == "weight" and known and alone and plain and module_of(node) == owner


@rule("aten::_native_batch_norm_legit_no_training", weighted=True)
def batch_norm(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """(B, C, *) -> the same, scaled and shifted a channel at a time."""
    nodes = [node.args[place] for place in (1, 2, 3, 4)]
    names = [state.direct(x) for x in nodes]
    given = [x is not None for x in nodes]
    if not given[2] or any(g and n is None for g, n in zip(given, names, strict=True)):
        return opaque(state, node, args)
    inputs, known, value = only_along(state, _input(state, args), 1)
    for name in names:
        if name is not None:
            state.labels.unify(state.axis(name, 0), inputs)
    scale, shift, mean, variance = (
        state.tensors[name].double() if name is not None else torch.tensor(default)
        for name, default in zip(names, (1.0, 0.0, 0.0, 1.0), strict=True)
    )
    factor = (scale / torch.sqrt(variance + float(args[-1]))).expand(len(inputs))
    known = known | (factor == 0)
    constant = torch.where(known, (value - mean) * factor + shift, 0.0)
    _, saved, more = result_grids(node)
    return _result_of(state, node, inputs, known, constant), saved, more


def _result_of(
    state: State, node: Node, labels: Tensor, known: Tensor, value: Tensor
) -> Grid:
    state.results.append(Result(module_of(node), labels, known, value))
    shape = tuple(node.meta["val"][0].shape)
    return channels(shape, 1, labels, known, value)


@rule("aten::layer_norm", "aten::native_layer_norm", "aten::rms_norm")
def layer_norm(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Every output needs all of the last dimensions; others pass."""
    grid: Grid = args[0]
    normalized = len(args[1])
    if any(axis >= len(grid.shape) - normalized for axis in grid.axes()):
        return opaque(state, node, args)
    for other in node.all_input_nodes[1:]:
        state.fix(state.grid(other))
    result = result_grids(node)
    if isinstance(result, Grid):
        return grid.forget()
    return (grid.forget(), *result[1:])


@rule("aten::embedding", weighted=True)
def embedding(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Rows of (V, D) by index: channels are those of D, rows are not cut."""
    weight = state.direct(node.args[0])
    if weight is None:
        return opaque(state, node, args)
    state.labels.fix(state.axis(weight, 0))
    labels = state.axis(weight, 1)
    table = state.tensors[weight].double()
    known = (table == table[:1]).all(0)
    shape = tuple(node.meta["val"].shape)
    return channels(shape, len(shape) - 1, labels, known, table[0])


@rule("aten::prelu", weighted=True)
def prelu(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """One slope, or one a channel."""
    weight, grid = state.direct(node.args[1]), _input(state, args)
    if weight is None or len(grid.shape) < 2:
        raise Unsupported
    labels, known, value = only_along(state, grid, 1)
    slope = state.tensors[weight].double().reshape(-1)
    if len(slope) > 1:
        state.labels.unify(state.axis(weight, 0), labels)
    constant = torch.where(value < 0, value * slope, value)
    return channels(grid.shape, 1, labels, known, constant)
