"""State dicts of networks by name, every tensor a constant that takes no memory."""

from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from lilnetx_cli.models.registry import build

FORM = {"channels": 3, "classes": 5}


def constant_state(name):
    """Return constants of all sizes for a network by name; tied tensors share one."""
    try:
        with parameters_without_memory():
            network = build(name, FORM)
    except Exception:  # it computes with them
        network = build(name, FORM)
    constants, state = {}, {}
    for key, tensor in network.state_dict(keep_vars=True).items():
        value = torch.tensor(len(state) % 97 + 1, dtype=tensor.dtype)
        state[key] = constants.setdefault(id(tensor), value.expand(tensor.shape))
    return state


@contextmanager
def parameters_without_memory():
    """Put parameters on the meta device as soon as a layer has them."""

    def register(_module, _name, parameter):
        if parameter.is_meta:
            return parameter
        return nn.Parameter(parameter.to("meta"), parameter.requires_grad)

    handle = register_module_parameter_registration_hook(register)
    try:
        yield
    finally:
        handle.remove()


def differing(network, state):
    """Return the names of tensors that are not the constants of a state dict."""
    own = network.state_dict()
    return sorted(state.keys() ^ own.keys()) + [
        name for name, tensor in own.items() if not _same(tensor, state[name])
    ]


def _same(tensor, constant):
    if tensor.is_meta or tensor.dtype != constant.dtype:
        return False
    if tensor.shape != constant.shape or not tensor.numel():
        return tensor.shape == constant.shape
    for dimension, stride in enumerate(tensor.stride()):
        if stride == 0:  # it still takes no memory: look at one of the equal parts
            tensor = tensor.narrow(dimension, 0, 1)
    return bool((tensor == constant[(0,) * constant.dim()]).all())
