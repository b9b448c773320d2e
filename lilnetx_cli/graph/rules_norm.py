"""Rules of norms: each channel on its own, or all of them together."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from lilnetx_cli.graph.grids import Grid
from lilnetx_cli.graph.nodes import argument, operation
from lilnetx_cli.graph.state import (
    State,
    Unsupported,
    layer_input,
    mixed,
    only_along,
    result_grids,
    rule,
)
from lilnetx_cli.graph.tracing import module_of


@rule("aten::_native_batch_norm_legit_no_training", "aten::batch_norm", weighted=True)
def batch_norm(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """(B, C, *) -> the same, scaled and shifted a channel at a time."""
    if argument(node, args, "training"):
        raise Unsupported
    names = _names(state, node)
    if names[2] is None:
        raise Unsupported
    result = _fixed_statistics(state, node, args, names)
    others = result_grids(node)
    return (result, *others[1:]) if isinstance(others, tuple) else result


@rule("aten::instance_norm", weighted=True)
def instance_norm(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """(B, C, *) -> each channel of each image normalized over its places."""
    names = _names(state, node)
    if not argument(node, args, "use_input_stats"):
        return _fixed_statistics(state, node, args, names)
    inputs, known, value = _channels(state, node, args, names)
    if (known & (value != 0)).any():  # rounding may leave a little, which may matter
        state.reshaped[node.name] = module_of(node)
        if node.name in state.held:
            known = known & (value == 0)
    scale, shift, *_ = _numbers(state, names)
    constant = known | (scale == 0)  # what does not vary is normalized to zero
    value = torch.where(constant, shift.expand(len(inputs)), 0.0)
    return state.add_result(node, 1, inputs, constant, value, before=known)


def _fixed_statistics(
    state: State, node: Node, args: Sequence[Any], names: Sequence[str | None]
) -> Grid:
    """Normalize by a mean and a variance that the layer has."""
    inputs, before, value = _channels(state, node, args, names)
    scale, shift, mean, variance = _numbers(state, names)
    eps = float(argument(node, args, "eps"))
    factor = (scale / torch.sqrt(variance + eps)).expand(len(inputs))
    known = before | (factor == 0)
    constant = torch.where(known, (value - mean) * factor + shift, 0.0)
    return state.add_result(node, 1, inputs, known, constant, before=before)


def _names(state: State, node: Node) -> list[str | None]:
    """Return the names of scale, shift, mean and variance, as far as there are any."""
    nodes = [node.args[place] for place in (1, 2, 3, 4)]
    names = [state.direct(x) for x in nodes]
    if any(x is not None and n is None for x, n in zip(nodes, names, strict=True)):
        raise Unsupported  # one is computed
    return names


def _channels(
    state: State, node: Node, args: Sequence[Any], names: Sequence[str | None]
) -> tuple[Tensor, Tensor, Tensor]:
    inputs, known, value = only_along(state, node, layer_input(state, args), 1)
    for name in names:
        if name is not None:
            state.labels.unify(state.axis(name, 0), inputs)
    return inputs, known, value


def _numbers(state: State, names: Sequence[str | None]) -> list[Tensor]:
    """Return scale, shift, mean and variance; 1, 0, 0 and 1 where there are none."""
    return [
        state.tensors[name].double() if name is not None else torch.tensor(default)
        for name, default in zip(names, (1.0, 0.0, 0.0, 1.0), strict=True)
    ]


@rule("aten::layer_norm", "aten::native_layer_norm", "aten::rms_norm")
def layer_norm(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Every output needs all of the last dimensions; others pass."""
    grid: Grid = args[0]
    normalized = len(args[1])
    if any(axis >= len(grid.shape) - normalized for axis in grid.axes()):
        return mixed(state, node, args)
    for other in node.all_input_nodes[1:]:
        state.fix(state.grid(other), f"{operation(node)} mixes channels")
    result = result_grids(node)
    return grid.forget() if isinstance(result, Grid) else (grid.forget(), *result[1:])


@rule("aten::group_norm", "aten::native_group_norm")
def group_norm(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Every output needs all channels of its group, and their number."""
    return mixed(state, node, args)
