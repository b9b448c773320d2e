"""From latents back to the plain network."""

import copy
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.decoding import decode_exact
from lilnetx_cli.nn.gating import Gate
from lilnetx_cli.nn.latents import LatentWeight, TiedWeight, parametrizations_of
from lilnetx_cli.nn.recurrent import weights_of

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Tensors = dict[str, nn.Parameter]


def materialize(model: ModuleT) -> ModuleT:
    """Return the plain network, weights decoded once; the original trains on."""
    return decode_in_place(copy.deepcopy(model))


def decode_in_place(model: ModuleT) -> ModuleT:
    """Make a network plain in place; it must share nothing with another one."""
    plain: dict[nn.Module, Tensors] = {}
    orders: dict[nn.Module, tuple[str, ...]] = {}
    ties: list[tuple[nn.Module, str, TiedWeight]] = []
    for module in model.modules():  # all are read before the first is restored
        for name, weight, latent in parametrizations_of(module, LatentWeight):
            orders[module] = weight.order
            plain.setdefault(module, {})[name] = _parameter(
                _decode(weight, latent), latent
            )
        for name, tied, _ in parametrizations_of(module, TiedWeight):
            orders[module] = tied.order
            plain.setdefault(module, {})
            ties.append((module, name, tied))
        for name, gate, values in parametrizations_of(module, Gate):
            orders[module] = gate.order
            plain.setdefault(module, {})[name] = _parameter(gate.gated(values), values)
    for module, name, tied in ties:
        plain[module][name] = plain[tied.owner][tied.name]
    for module, tensors in plain.items():
        _restore(module, tensors, orders[module])
    return model


def _decode(weight: LatentWeight, latent: Tensor) -> Tensor:
    rows = torch.round(weight.rows(latent.detach()))
    return decode_exact(rows, weight.group.decoder).reshape(latent.shape)


def _parameter(values: Tensor, like: Tensor) -> nn.Parameter:
    values = values.detach().to(like.device, like.dtype)
    return nn.Parameter(values, requires_grad=like.requires_grad)


def _restore(module: nn.Module, tensors: Tensors, order: tuple[str, ...]) -> None:
    """Give a module its own class and parameters back, in their own order.

    Not by `remove_parametrizations`: a copy shares the class that torch made with the
    original, which that function would break.
    """
    module.__class__ = type(module).__bases__[0]
    del module.parametrizations
    everything = {**module._parameters, **tensors}
    module._parameters.clear()
    for name in order:
        module._parameters[name] = cast("nn.Parameter", everything[name])
    if isinstance(module, nn.RNNBase):
        module.__dict__["_flat_weights"] = weights_of(module)
