"""From latents back to the plain network that they stand for."""

import copy
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.decoding import decode_exact
from lilnetx_cli.nn.gating import ungate
from lilnetx_cli.nn.latents import LatentWeight, TiedWeight, parametrizations_of
from lilnetx_cli.nn.recurrent import weights_of

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Tensors = dict[str, nn.Parameter]


def materialize(model: ModuleT) -> ModuleT:
    """Return the plain network, weights decoded once; the original trains on."""
    return decode_in_place(copy.deepcopy(model))


def decode_in_place(model: ModuleT) -> ModuleT:
    """Turn a network of one's own, a copy, into the plain one it stands for."""
    ungate(model)
    decoded: dict[nn.Module, Tensors] = {}
    orders: dict[nn.Module, tuple[str, ...]] = {}
    ties: list[tuple[nn.Module, str, TiedWeight]] = []
    for module in model.modules():
        for name, weight, original in parametrizations_of(module):
            orders[module] = weight.order
            tensors = decoded.setdefault(module, {})
            if isinstance(weight, LatentWeight):
                tensors[name] = _decode(weight, original)
            else:
                ties.append((module, name, weight))
    for module, name, tied in ties:
        decoded[module][name] = decoded[tied.owner][tied.name]
    for module, tensors in decoded.items():
        _restore(module, tensors, orders[module])
    return model


def _decode(weight: LatentWeight, original: Tensor) -> nn.Parameter:
    rows = torch.round(weight.rows(original.detach()))
    values = decode_exact(rows, weight.group.decoder).reshape(original.shape)
    values = values.to(original.device, original.dtype)
    return nn.Parameter(values, requires_grad=original.requires_grad)


def _restore(module: nn.Module, tensors: Tensors, order: tuple[str, ...]) -> None:
    """Give a module its own class and parameters back, in their own order.

    `remove_parametrizations` would not do: a copy shares the class that torch made
    with the original, which that would break.
    """
    module.__class__ = type(module).__bases__[0]
    del module.parametrizations
    everything = {**module._parameters, **tensors}
    module._parameters.clear()
    for name in order:
        module._parameters[name] = cast("nn.Parameter", everything[name])
    if isinstance(module, nn.RNNBase):
        module.__dict__["_flat_weights"] = weights_of(module)
