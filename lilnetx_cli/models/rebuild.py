"""An architecture record and a state dict -> the network."""

from collections.abc import Callable, Mapping
from functools import partial
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree

from lilnetx_cli.errors import UsageError
from lilnetx_cli.models.filling import OTHER_NETWORK, fill
from lilnetx_cli.models.registry import build, build_record
from lilnetx_cli.user_code import is_factory

# While a network is made it may have more weights than in the end: its first layer may
# be replaced by one for other images.
SPARE_WEIGHTS = 1 << 22

Make = Callable[[], nn.Module]


class _TooLargeError(Exception):
    """A network has more weights than its file can fill."""


def rebuild(
    record: Mapping[str, Any] | None,
    state: Mapping[str, Tensor],
    file: str,
    *,
    trusted: bool = False,
) -> nn.Module:
    """Build the network of an architecture record and give it a file's tensors.

    The network takes over the memory of the tensors. A record that comes from the user
    and not from the file is trusted: it may name a function of the user's. `file` is
    named in errors.

    Raises UsageError where there is no record or the tensors do not fit, and what
    `build` (for a trusted record) or `build_record` raises.
    """
    if record is None:
        raise UsageError(
            f"{file!r} does not say which network it holds: add --model, or give"
            " load_model a model to fill"
        )
    if not trusted:
        return _filled(partial(build_record, record), state, file)
    make = partial(build, record["name"], record["args"])
    if not is_factory(record["name"]):
        return _filled(make, state, file)
    network = make()
    fill(network, state, file)
    return network


def _filled(make: Make, state: Mapping[str, Tensor], file: str) -> nn.Module:
    """Make a network, which cannot be much larger than the state dict, and fill it."""
    weights = sum(tensor.numel() for tensor in state.values())
    most = 2 * weights + SPARE_WEIGHTS
    try:
        network = _without_copies(make, most, state, file)
        if network is None:
            network = _made(make, most, empty=False)
            fill(network, state, file)
    except _TooLargeError as error:
        raise UsageError(
            f"{file!r} does not fit the network: the file holds {weights:,} weights,"
            f" the network has more: {OTHER_NETWORK}"
        ) from error
    return network


def _without_copies(
    make: Make, most: int, state: Mapping[str, Tensor], file: str
) -> nn.Module | None:
    """Make a network in the memory of the state dict; None where that cannot be.

    Some networks compute with their weights while they are made, before these are
    there, and some layers cannot change the memory of theirs.
    """
    try:
        network = _made(make, most, empty=True)
        fill(network, state, file)
    except _TooLargeError:
        raise
    except Exception:  # made with memory, it says what is wrong, if anything is
        return None
    return None if _is_partly_empty(network) else network


def _made(make: Make, most: int, *, empty: bool) -> nn.Module:
    """Make a network of a limited number of weights, with or without memory for them.

    Empty parameters are on the meta device. Everything else is made as its author wrote
    it: tables and masks that a state dict leaves out have their values.
    """
    thread, weights = get_ident(), 0

    def register(
        _module: nn.Module, _name: str, parameter: nn.Parameter
    ) -> nn.Parameter | None:
        nonlocal weights
        if get_ident() != thread or is_lazy(parameter):
            return None
        weights += parameter.numel()
        if weights > most:
            raise _TooLargeError
        return _emptied(parameter) if empty else None

    handle = register_module_parameter_registration_hook(register)  # type: ignore[arg-type]
    try:
        return make()
    finally:
        handle.remove()


def _emptied(parameter: nn.Parameter) -> nn.Parameter | None:
    if parameter.is_meta or type(parameter) is not nn.Parameter:
        return None
    empty = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
    empty.__dict__.update(parameter.__dict__)
    return empty


def _is_partly_empty(network: nn.Module) -> bool:
    """Tell whether any module still holds a tensor of the meta device, in any form."""
    return any(
        isinstance(leaf, torch.Tensor) and leaf.is_meta
        for module in network.modules()
        for leaf in pytree.tree_leaves(vars(module))
    )
