"""Cut a copy of a network down to the channels that stay.

Legend: O output and I input channels of a layer, g groups.
"""

import copy
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from lilnetx_cli.graph.findings import Reader, Result
from lilnetx_cli.graph.names import first_names
from lilnetx_cli.nn.constant import constant_of
from lilnetx_cli.nn.layer_sizes import describe_layer
from lilnetx_cli.nn.padding import PadChannels
from lilnetx_cli.pruning.selection import Selection, live_groups


@torch.no_grad()
def cut(model: nn.Module, selection: Selection, *, constants: bool = True) -> nn.Module:
    """Return a smaller copy of a plain network: its layers, with fewer channels.

    Constants that leave go into biases, and layers of which nothing but constants
    stays become `Constant`, if these are wanted.
    """
    smaller = copy.deepcopy(model)
    _fold(smaller, selection)
    groups = _slice(smaller, Slicing(selection))
    for module in smaller.modules():
        describe_layer(module, groups)
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


class Slicing:
    """Which places of every tensor stay."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        readers = selection.graph.readers
        self._grouped = {r.key: r for r in readers if r.groups > 1}
        self._biases = {  # that layers may have got by folding
            f"{reader.key.removesuffix('weight')}bias": reader.outputs
            for reader in readers
            if reader.foldable
        }

    def of(self, name: str, tensor: Tensor) -> Tensor:
        """Return what stays of a tensor of the shape that the dense network has for it.

        The tensor itself where all of it stays.
        """
        result = tensor.detach()
        if name in self._grouped:
            result = _slice_columns(result, self._grouped[name], self.selection)
        for axis, stays in self.axes(name, tensor).items():
            places = stays.nonzero().flatten().to(tensor.device)
            result = result.index_select(axis, places)
        if result.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr():
            return tensor
        last = torch.channels_last
        if tensor.dim() == 4 and tensor.is_contiguous(memory_format=last):
            result = result.contiguous(memory_format=last)
        if isinstance(tensor, nn.Parameter):
            return nn.Parameter(result, requires_grad=tensor.requires_grad)
        return result

    def axes(self, name: str, tensor: Tensor) -> dict[int, Tensor]:
        """Return which places stay, by dimension, where not all do."""
        found: dict[int, Tensor] = {}
        for axis in range(tensor.dim()):
            labels = self.selection.graph.axes.get((name, axis))
            if labels is None and axis == 0:
                labels = self._biases.get(name)
            if labels is None:
                continue
            stays = self.selection.stays(labels)
            if not bool(stays.all()):
                found[axis] = stays
        return found

    def groups(self, name: str) -> int | None:
        """Return how many groups stay of a weight; None for one without groups."""
        reader = self._grouped.get(name)
        if reader is None:
            return None
        return len(live_groups(reader, self.selection.graph, self.selection.kept))


def _slice(model: nn.Module, slicing: Slicing) -> dict[int, int]:
    """Give every tensor the places that stay; tied tensors stay tied.

    Returns the groups of grouped weights, by the weight's identity.
    """
    names = first_names(model)
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
                    made[id(tensor)] = smaller = slicing.of(name, tensor)
                    kept_alive.append(tensor)
                    live = slicing.groups(name)
                    if live is not None:
                        groups[id(smaller)] = live
                store[key] = made[id(tensor)]  # type: ignore[assignment]
    return groups


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
