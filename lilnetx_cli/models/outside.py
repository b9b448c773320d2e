"""Networks from elsewhere: those of timm by name, and the user's own functions."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from lilnetx_cli.errors import InputError, suggestion, type_of
from lilnetx_cli.user_code import call_factory

TIMM_PREFIX = "timm:"


def timm_network(name: str, *, channels: int, classes: int) -> nn.Module:
    """Build a network of timm, without trained weights.

    Raises ValueError for other names, and where timm is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise ValueError("timm is not installed: pip install timm") from error
    if not timm.is_model(name):
        hint = suggestion(name, timm.list_models(), "")
        raise ValueError(f"timm has no network {name!r}{hint}")
    network: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=classes, in_chans=channels
    )
    return network


def factory_network(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Call the user's function; raises InputError if it does not return a network."""
    network = call_factory(name, arguments)
    if not isinstance(network, nn.Module):
        raise InputError(f"{name} returns {type_of(network)}, expected an nn.Module")
    return network
