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
from lilnetx_cli.models.filling import fill
from lilnetx_cli.models.registry import build, build_record
from lilnetx_cli.user_code import is_factory

# A network may have more weights than the file holds while it is made: a first layer
# that is replaced by one for other images, say.
SPARE_WEIGHTS = 1 << 22

Make = Callable[[], nn.Module]


class _TooLargeError(Exception):
    """A network has more weights than its file can fill."""


def rebuild(
    record: Mapping[str, Any] | None,
    state: dict[str, Tensor],
    file: str,
    *,
    trusted: bool = False,
) -> nn.Module:
    """Build the network of an architecture record and give it a file's tensors.

    The network takes over the memory of the tensors. A record that the user wrote, not
    the file, is trusted: it may name a function of the user's. `file` is named in
    errors.

    Raises UsageError where there is no record, or the tensors do not fit, and what
    `build` or `build_record` raise.
    """
    if record is None:
        raise UsageError(
            f"{file!r} does not say which network it holds: add --model, or"
            " give load_model a model to fill"
        )
    if trusted and is_factory(record["name"]):
        network = build(record["name"], record["args"])
        fill(network, state, file)
        return network
    make = (
        partial(build, record["name"], record["args"])
        if trusted
        else partial(build_record, record)
    )
    most = 2 * _weights(state) + SPARE_WEIGHTS
    try:
        return _without_copies(make, most, state, file) or _plainly(
            make, most, state, file
        )
    except _TooLargeError as error:
        raise UsageError(
            f"{file!r} does not fit the network: it holds"
            f" {_weights(state):,} weights, and the network has more"
        ) from error


def _without_copies(
    make: Make, most: int, state: Mapping[str, Tensor], file: str
) -> nn.Module | None:
    """Make a network in the memory of the state dict; None where that cannot be.

    What a network computes from its weights while it is made cannot be had before they
    are there, and some layers cannot change the memory of theirs.
    """
    try:
        network = _made(make, most, empty=True)
        fill(network, state, file)
    except _TooLargeError:
        raise
    except Exception:  # made the plain way, it says what is wrong, if anything is
        return None
    return None if _is_partly_empty(network) else network


def _plainly(
    make: Make, most: int, state: Mapping[str, Tensor], file: str
) -> nn.Module:
    network = _made(make, most, empty=False)
    fill(network, state, file)
    return network


def _made(make: Make, most: int, *, empty: bool) -> nn.Module:
    """Make a network of a limited number of weights, with or without memory for them.

    Empty parameters are on the meta device. All else is as the author wrote it: tables
    and masks that a state dict leaves out have their values.
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
    """Tell whether any module holds a tensor on the meta device, wherever."""
    return any(
        isinstance(leaf, torch.Tensor) and leaf.is_meta
        for module in network.modules()
        for leaf in pytree.tree_leaves(vars(module))
    )


def _weights(state: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in state.values())
