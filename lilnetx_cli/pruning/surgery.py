"""Cut a copy of a network down to the channels that stay.

Legend: O output and I input channels of a layer, g groups.
"""

import copy
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from lilnetx_cli.graph.findings import Reader, Result
from lilnetx_cli.graph.names import first_names
from lilnetx_cli.nn.padding import PadChannels
from lilnetx_cli.pruning.constant import constant_of
from lilnetx_cli.pruning.selection import Selection, live_groups


@torch.no_grad()
def cut(model: nn.Module, selection: Selection, *, constants: bool = True) -> nn.Module:
    """Return a smaller copy of a plain network: its layers, with fewer channels.

    Constants that leave go into biases, and layers of which nothing but constants
    stays become `Constant`, if these are wanted.
    """
    smaller = copy.deepcopy(model)
    _fold(smaller, selection)
    groups = _slice(smaller, selection)
    for module in smaller.modules():
        _describe(module, groups)
    for result in selection.graph.results:
        module = smaller.get_submodule(result.module)
        if isinstance(module, _InstanceNorm):  # may have no tensors to tell it
            module.num_features = int(selection.stays(result.labels).sum())
    for padding in selection.graph.paddings:
        pad = cast("PadChannels", smaller.get_submodule(padding.module))
        pad.before = int(selection.stays(padding.before).sum())
        pad.after = int(selection.stays(padding.after).sum())
    for name, value in _constant_layers(selection) if constants else ():
        layer = constant_of(smaller.get_submodule(name), value)
        if name and layer is not None:
            own = next(smaller.get_submodule(name).parameters(), value.float())
            smaller.set_submodule(name, layer.to(own.device, own.dtype))
    return smaller


def _fold(model: nn.Module, selection: Selection) -> None:
    """Put constant channels that leave into the biases of their readers."""
    for reader in selection.graph.readers:
        leaves = reader.known & ~selection.stays(reader.inputs)
        value = torch.where(leaves, reader.value, 0.0)  # (I,)
        if not reader.foldable or not value.any():
            continue
        module = model.get_submodule(reader.key.rpartition(".")[0])
        weight = module.get_parameter("weight")
        added = _sums(weight.double(), value, reader.groups)
        bias = module.bias
        before = bias.double() if isinstance(bias, Tensor) else torch.zeros_like(added)
        module.bias = nn.Parameter((before + added).to(weight.dtype))


def _sums(weight: Tensor, value: Tensor, groups: int) -> Tensor:
    """Return what constant inputs add to the outputs; (O, I / g, *), (I,) -> (O,)."""
    flat = weight.reshape(*weight.shape[:2], -1).sum(2)  # (O, I / g)
    rows = flat.reshape(groups, -1, flat.shape[1])  # (g, O / g, I / g)
    columns = value.to(weight).reshape(groups, -1, 1)  # (g, I / g, 1)
    return (rows @ columns).reshape(-1)


def _slice(model: nn.Module, selection: Selection) -> dict[int, int]:
    """Give every tensor the indices that stay; tied tensors stay tied.

    Returns the groups of grouped weights, by the weight's identity.
    """
    names = first_names(model)
    grouped = {r.key: r for r in selection.graph.readers if r.groups > 1}
    outputs = _new_biases(selection)
    groups: dict[int, int] = {}
    made: dict[int, Tensor] = {}
    kept_alive = []  # so that no id is used twice
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for key, tensor in store.items():
                if tensor is None:
                    continue
                if id(tensor) not in made:
                    name = names[id(tensor)]
                    smaller = _sliced(tensor, name, selection, grouped, outputs)
                    made[id(tensor)] = smaller
                    kept_alive.append(tensor)
                    if name in grouped:
                        live = live_groups(
                            grouped[name], selection.graph, selection.kept
                        )
                        groups[id(smaller)] = len(live)
                store[key] = made[id(tensor)]  # type: ignore[assignment]
    return groups


def _new_biases(selection: Selection) -> dict[str, Tensor]:
    """Return the labels of biases that layers may have got by folding."""
    return {
        f"{reader.key.removesuffix('weight')}bias": reader.outputs
        for reader in selection.graph.readers
        if reader.foldable
    }


def _sliced(
    tensor: Tensor,
    name: str,
    selection: Selection,
    grouped: dict[str, Reader],
    biases: dict[str, Tensor],
) -> Tensor:
    axes = selection.graph.axes
    result = tensor.detach()
    if name in grouped:
        result = _slice_columns(result, grouped[name], selection)
    for axis in range(tensor.dim()):
        labels = axes.get((name, axis))
        if labels is None and axis == 0 and name in biases:
            labels = biases[name]
        if labels is not None:
            stays = selection.stays(labels).nonzero().flatten().to(tensor.device)
            if len(stays) < len(labels):
                result = result.index_select(axis, stays)
    if result.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr():
        return tensor
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        result = result.contiguous(memory_format=torch.channels_last)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(result, requires_grad=tensor.requires_grad)
    return result


def _slice_columns(weight: Tensor, reader: Reader, selection: Selection) -> Tensor:
    """Return a grouped weight with the inputs that stay; (O, I / g, *) -> (O, J, *).

    Rows of groups that leave as a whole stay here, and go with their outputs.
    """
    live = live_groups(reader, selection.graph, selection.kept)
    stays = selection.stays(reader.inputs).reshape(reader.groups, -1)
    width = int(stays[live[0]].sum())
    rows = weight.reshape(reader.groups, -1, *weight.shape[1:])  # (g, O / g, I / g, *)
    new = rows.new_zeros(*rows.shape[:2], width, *rows.shape[3:])
    for group in live.tolist():
        columns = stays[group].nonzero().flatten().to(weight.device)
        new[group] = rows[group].index_select(1, columns)
    return new.reshape(-1, *new.shape[2:])


def _describe(module: nn.Module, groups: dict[int, int]) -> None:
    """Make the numbers that a layer keeps of itself those of its tensors."""
    weight = module._parameters.get("weight")
    if isinstance(module, _ConvTransposeNd) and weight is not None:
        module.in_channels = weight.shape[0]
        module.out_channels = weight.shape[1] * module.groups
    elif isinstance(module, _ConvNd) and weight is not None:
        _describe_conv(module, weight, groups)
    elif isinstance(module, nn.Linear) and weight is not None:
        module.out_features, module.in_features = weight.shape
    elif isinstance(module, _NormBase):
        own = weight if weight is not None else module.running_mean
        module.num_features = len(own) if own is not None else module.num_features
    elif isinstance(module, nn.PReLU) and weight is not None:
        module.num_parameters = len(weight)
    elif isinstance(module, nn.Embedding) and weight is not None:
        module.embedding_dim = weight.shape[1]


def _describe_conv(conv: _ConvNd, weight: Tensor, groups: dict[int, int]) -> None:
    if id(weight) in groups:
        conv.groups = groups[id(weight)]
    elif conv.groups > 1 and conv.in_channels == conv.groups:  # depthwise
        conv.groups = weight.shape[0] // (conv.out_channels // conv.groups)
    conv.out_channels = weight.shape[0]
    conv.in_channels = weight.shape[1] * conv.groups


def _constant_layers(selection: Selection) -> Iterator[tuple[str, Tensor]]:
    """Yield layers that give only constants, and what they give, (C,)."""
    calls: dict[str, list[Result]] = {}
    for result in selection.graph.results:
        calls.setdefault(result.module, []).append(result)
    for name, results in calls.items():
        result = results[0]
        idle = result.known | ~selection.is_needed(result.labels)
        stays = selection.stays(result.labels)
        if len(results) == 1 and bool(idle[stays].all()):
            yield name, torch.where(result.known, result.value, 0.0)[stays]
