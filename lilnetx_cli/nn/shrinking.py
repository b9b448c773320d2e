"""A dense network -> the smaller one of a pruned network's shapes, to be filled.

The mirror of cutting, without the dense weights: shapes say how many channels are left,
and which ones they were does not matter for what comes in their place.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.parameter import is_lazy

from lilnetx_cli.nn.constant import Constant, constant_of
from lilnetx_cli.nn.cuts import Cuts, places_of
from lilnetx_cli.nn.layer_sizes import describe_layer
from lilnetx_cli.nn.padding import PadChannels

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Shapes = Mapping[str, Sequence[int]]


@torch.no_grad()
def shrink(network: nn.Module, shapes: Shapes, cuts: Cuts) -> None:
    """Give a dense network the shapes of a pruned one's state dict, in place.

    Tensors of a new shape hold the first numbers of the dense ones, and are to be
    filled. Layers of which only a constant was left become `Constant`, and biases that
    pruning added are there. Raises ValueError, whose text goes on after "the network
    has", where shapes or cuts cannot come from this network; then it is of no use any
    more.
    """
    _add_constants(network, shapes)
    _add_biases(network, shapes)
    groups = _resize(network, shapes, cuts)
    for module in network.modules():
        describe_layer(module, groups)
    for name, count in cuts.features.items():
        norm = _module(network, name, _InstanceNorm)
        norm.num_features = _fewer(name, count, norm.num_features)
    for name, (before, after) in cuts.padding.items():
        pad = _module(network, name, PadChannels)
        pad.before = _fewer(name, before, pad.before)
        pad.after = _fewer(name, after, pad.after)


def _add_constants(network: nn.Module, shapes: Shapes) -> None:
    """Put `Constant` layers where the state dict has a value in place of weights."""
    modules = dict(network.named_modules())
    for name, shape in shapes.items():
        stem, _, last = name.rpartition(".")
        module = modules.get(stem)
        if last != "value" or module is None or hasattr(module, "value"):
            continue
        own = next(module.parameters(), torch.empty(0))
        width = _outputs(module) or getattr(module, "num_features", 0)
        _check(name, shape, (width,))
        layer: Constant | None = constant_of(module, torch.zeros(tuple(shape)))
        if stem and layer is not None:
            network.set_submodule(stem, layer.to(dtype=own.dtype))


def _add_biases(network: nn.Module, shapes: Shapes) -> None:
    """Put biases where the network has none and the state dict does."""
    for name, module in network.named_modules():
        key = f"{name}.bias".removeprefix(".")
        weight = module._parameters.get("weight")
        if (
            key not in shapes
            or weight is None
            or getattr(module, "bias", 0) is not None
        ):
            continue
        _check(key, shapes[key], (_outputs(module) or len(weight),))
        module.bias = nn.Parameter(weight.new_zeros(tuple(shapes[key])))


def _outputs(module: nn.Module) -> int:
    """Return the outputs of a layer that says how many it has; else 0."""
    return int(getattr(module, "out_channels", getattr(module, "out_features", 0)))


def _resize(network: nn.Module, shapes: Shapes, cuts: Cuts) -> dict[int, int]:
    """Give tensors their shapes; tied ones stay tied.

    Returns the groups that the cuts name, by the weight's identity.
    """
    groups: dict[int, int] = {}
    made: dict[int, Tensor] = {}
    kept_alive = []  # so that no id is used twice
    for prefix, module in network.named_modules():
        if prefix in cuts.groups:
            conv = _module(network, prefix, _ConvNd)
            _fewer(prefix, cuts.groups[prefix], conv.groups)
        for store in (module._parameters, module._buffers):
            for key, tensor in store.items():
                if tensor is None or is_lazy(tensor):
                    continue
                if id(tensor) not in made:
                    name = f"{prefix}.{key}".removeprefix(".")
                    made[id(tensor)] = _resized(name, tensor, shapes, cuts)
                    kept_alive.append(tensor)
                store[key] = made[id(tensor)]
                if key == "weight" and prefix in cuts.groups:
                    groups[id(made[id(tensor)])] = cuts.groups[prefix]
    unknown = cuts.groups.keys() - dict(network.named_modules()).keys()
    unknown |= cuts.kept.keys() - {name for name, _ in network.named_buffers()}
    if unknown:
        raise ValueError(f"no {sorted(unknown)[0]!r}")
    return groups


def _resized(name: str, tensor: Tensor, shapes: Shapes, cuts: Cuts) -> Tensor:
    if name not in shapes:
        return _left(name, tensor, cuts.kept.get(name, {}))
    shape = tuple(shapes[name])
    if shape == tensor.shape:
        return tensor
    _check(name, shape, tuple(tensor.shape))
    smaller = tensor.detach()[tuple(map(slice, shape))].clone()
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(smaller, requires_grad=tensor.requires_grad)
    return smaller


def _left(name: str, tensor: Tensor, axes: Mapping[int, str]) -> Tensor:
    """Return the places that stay of a tensor that no state dict holds."""
    for axis, bits in axes.items():
        if axis >= tensor.dim():
            raise ValueError(f"{tensor.dim()} dimensions of {name!r}, not {axis + 1}")
        try:
            places = places_of(bits, tensor.shape[axis])
        except ValueError as error:
            raise ValueError(f"{name!r}, and the record {error}") from None
        tensor = tensor.index_select(axis, torch.from_numpy(places).to(tensor.device))
    return tensor


def _check(name: str, shape: Sequence[int], most: Sequence[int]) -> None:
    """Raise ValueError for a shape that is not part of another."""
    fits = len(shape) == len(most) and all(
        0 < size <= largest for size, largest in zip(shape, most, strict=True)
    )
    if not fits:
        raise ValueError(f"{name!r} of shape {tuple(most)}, not {tuple(shape)}")


def _fewer(name: str, count: int, most: int) -> int:
    if count > most:
        raise ValueError(f"{most} channels or groups in {name!r}, not {count}")
    return count


def _module(network: nn.Module, name: str, kind: type[ModuleT]) -> ModuleT:
    found = dict(network.named_modules()).get(name)
    if not isinstance(found, kind):
        raise ValueError(f"no layer {name!r} of the kind that was cut")
    return found
