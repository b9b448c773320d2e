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

from lilnetx_cli.errors import FileError, UsageError
from lilnetx_cli.metadata import CUTS
from lilnetx_cli.models.filling import OTHER_NETWORK, fill
from lilnetx_cli.models.pruned import check_pruned, make_smaller
from lilnetx_cli.models.registry import build, build_record
from lilnetx_cli.user_code import is_factory

# While a network is made it may have more weights than in the end: its first layer may
# be replaced by one for other images.
SPARE_WEIGHTS = 1 << 22
# The dense network behind a pruned one, which takes memory only while it is made, and
# one that computes with its weights then.
MOST_EMPTY_WEIGHTS = 1 << 31
MOST_PRUNED_WEIGHTS = 1 << 26

Make = Callable[[], nn.Module]
Fill = Callable[[nn.Module], nn.Module]


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

    Where the record says how a network was pruned, the dense one is built and cut down.

    Raises UsageError where there is no record or the tensors do not fit, FileError
    where a pruned network cannot be what its file says, and what `build` (for a trusted
    record) or `build_record` raises.
    """
    if record is None:
        raise UsageError(
            f"{file!r} does not say which network it holds: add --model (in"
            " Python, load_model(path, model=...))"
        )
    make = partial(build_record, record)
    if trusted:
        make = partial(build, record["name"], record["args"])
    fill_it = partial(_fill, record, state, file, trusted)
    if trusted and is_factory(record["name"]):
        return fill_it(make())
    weights = sum(tensor.numel() for tensor in state.values())
    most = empty = 2 * weights + SPARE_WEIGHTS
    if CUTS in record:
        most, empty = max(most, MOST_PRUNED_WEIGHTS), MOST_EMPTY_WEIGHTS
    try:
        network = _without_copies(make, empty, fill_it)
        if network is None:
            network = fill_it(_made(make, most, empty=False))
    except _TooLargeError as error:
        # A pruned file that names its network itself has only itself to blame.
        kind = FileError if CUTS in record and not trusted else UsageError
        raise kind(
            f"{file!r} does not fit the network: the file holds {weights:,} weights,"
            f" the network has more than twice as many: {OTHER_NETWORK}"
        ) from error
    check_pruned(network, record, file)
    return network


def _fill(
    record: Mapping[str, Any],
    state: Mapping[str, Tensor],
    file: str,
    trusted: bool,
    network: nn.Module,
) -> nn.Module:
    """Give a network what a file holds, cut down first where that is a pruned one."""
    make_smaller(network, record, state, file, trusted=trusted)
    fill(network, state, file)
    return network


def _without_copies(make: Make, most: int, fill_it: Fill) -> nn.Module | None:
    """Make a network in the memory of the state dict; None where that cannot be.

    Some networks compute with their weights while they are made, before these are
    there, and some layers cannot change the memory of theirs.
    """
    try:
        network = _made(make, most, empty=True)
    except _TooLargeError:
        raise
    except Exception:  # made with memory, it says what is wrong, if anything is
        return None
    try:
        network = fill_it(network)
    except FileError:  # no network of this kind
        raise
    except Exception:
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
