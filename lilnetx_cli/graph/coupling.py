"""The coupled channels of a network, as the channel prior wants them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvTransposeNd

from lilnetx_cli.graph.channel_graph import ChannelGraph, read_channels
from lilnetx_cli.graph.counting import counted_operations
from lilnetx_cli.graph.tracing import GraphError, Traced, arguments_of, trace
from lilnetx_cli.nn.channel_prior import Channels, Layer
from lilnetx_cli.nn.evaluating import evaluating

MOST_TRIES = 4  # times that the channels are followed
REST = ""  # the name of what no weight of a layer computes


def coupled_channels(model: nn.Module, inputs: Tensor | tuple[Any, ...]) -> Channels:
    """Return which channels of a plain network live and die together.

    `inputs` are what it is called with, in evaluation mode, a batch or a tuple of
    arguments, the first a batch. Raises GraphError for a network that cannot be traced,
    or has no layers with channels.
    """
    inputs = arguments_of(inputs)
    with evaluating(model):
        traced = trace(model, inputs)
        graph = read_channels(model, traced)
        macs, every = _macs(model, inputs)
    classes, count = _numbered(_whole_groups(graph))
    layers = {
        reader.key: Layer(
            classes[reader.outputs],
            classes[reader.inputs],
            macs.get(reader.key, 0),
            grouped=reader.groups > 1,
            transposed=_is_transposed(model, reader.key),
        )
        for reader in graph.readers
    }
    for key in macs:  # in the order of the network, the same in every process
        if key not in layers and (key, 0) in graph.axes:  # each channel reads itself
            rows = classes[graph.axes[key, 0]]
            layers[key] = Layer(rows, rows, macs[key], depthwise=True)
    for key, through in _ways(model, traced, layers).items():
        layers[key] = replace(layers[key], through=tuple(through))
    if not any(layer.macs for layer in layers.values()):
        raise GraphError("no layer was found whose channels could be taken out")
    rest = every - sum(layer.macs for layer in layers.values())
    if rest > 0:  # such as attention: it stays, and counts
        fixed = torch.zeros(1, dtype=torch.long)
        layers[REST] = Layer(fixed, fixed, rest)
    return Channels(count, layers)


def _ways(
    model: nn.Module, traced: Traced, layers: Mapping[str, Layer]
) -> dict[str, list[str]]:
    """Return, by layer, the depthwise weights that its inputs have no way around.

    With such a weight at zero, the layer reads zero of its channels; not so behind
    x + depthwise(x). Weights that share no channel are tried at once. Of many that do,
    as in a residual stream, some are not tried, and count as having a way around.
    """
    found: dict[str, list[str]] = {}
    left = [key for key, layer in layers.items() if layer.depthwise]
    for _ in range(MOST_TRIES):
        tried: list[str] = []
        for key in left:
            rows = [layers[other].rows for other in tried]
            if not any(torch.isin(layers[key].rows, x).any() for x in rows):
                tried.append(key)
        if not tried:
            break
        left = [key for key in left if key not in tried]
        for reader in read_channels(model, _without(model, traced, tried)).readers:
            zero = reader.known & (reader.value == 0)
            columns = layers[reader.key].columns
            for key in tried:
                own = torch.isin(columns, layers[key].rows)
                if own.any() and bool(zero[own].all()):
                    found.setdefault(reader.key, []).append(key)
    return found


def _without(model: nn.Module, traced: Traced, zero: list[str]) -> Traced:
    """Return a pass with some weights at zero, which norms leave at zero; others not.

    A gate does the same for batch norms while a network is trained.
    """
    shifts = {
        f"{name}.{own}".removeprefix(".")
        for name, module in model.named_modules()
        if isinstance(module, _NormBase | nn.GroupNorm | nn.LayerNorm)
        for own in ("bias", "running_mean")
    }
    values = {
        name: torch.zeros_like(value)
        if name in zero or name in shifts
        else torch.ones_like(value)
        if value.is_floating_point() and value.dim() > 1
        else value
        for name, value in traced.values.items()
    }
    return replace(traced, values=values)


def _is_transposed(model: nn.Module, key: str) -> bool:
    """Tell whether a weight has its columns first."""
    return isinstance(model.get_submodule(key.rpartition(".")[0]), _ConvTransposeNd)


def _whole_groups(graph: ChannelGraph) -> Tensor:
    """Return roots by which what a group of a convolution reads and gives is one class.

    Such a convolution is cut by whole groups.
    """
    roots = graph.roots.clone()
    for reader in graph.readers:
        if reader.groups == 1:
            continue
        inputs, outputs = (
            labels.reshape(reader.groups, -1)
            for labels in (reader.inputs, reader.outputs)
        )
        for members in torch.cat([inputs, outputs], 1):
            joined = torch.unique(roots[members])
            roots[torch.isin(roots, joined)] = joined.min()  # FIXED is the least
    return roots


def _numbered(roots: Tensor) -> tuple[Tensor, int]:
    """Return the roots of labels numbered from 0, class 0 first, and their count."""
    used, classes = torch.unique(roots, return_inverse=True)
    return classes, len(used)


@torch.no_grad()
def _macs(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[dict[str, int], int]:
    """Return the multiply-adds of one input by the name of the layer's weight.

    And those of everything.
    """
    with counted_operations() as counter:
        model(*inputs)
    counts, root = counter.get_flop_counts(), type(model).__name__

    def macs(name: str) -> int:
        flops = counts.get(f"{root}.{name}" if name else root, {})
        return sum(flops.values()) // 2 // len(inputs[0])

    found = {}
    for name, layer in model.named_modules():
        if layer._parameters.get("weight") is None:
            continue
        parts = [f"{name}.{x}".removeprefix(".") for x, _ in layer.named_children()]
        own = macs(name) - sum(map(macs, parts))
        if own:
            found[f"{name}.weight".removeprefix(".")] = own
    return found, counter.get_total_flops() // 2 // len(inputs[0])
