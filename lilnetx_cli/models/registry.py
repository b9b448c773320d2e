"""The networks by name, and the record from which a file rebuilds its own."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from lilnetx_cli.errors import FileError, UsageError
from lilnetx_cli.models.resnet_cifar import cifar_resnet

# A file is attacker text: no argument of a network may be larger than this.
MAX_ARGUMENT = 65_536


@dataclass(frozen=True)
class ModelInfo:
    """A network that can be built by name."""

    title: str
    build: Callable[..., nn.Module]

    def arguments(self) -> tuple[str, ...]:
        """Return the names that --model-arg may set."""
        return tuple(
            name
            for name, parameter in inspect.signature(self.build).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
            and name not in ("depth", "channels", "classes")
        )


MODELS: dict[str, ModelInfo] = {
    f"resnet{depth}": ModelInfo(
        f"CIFAR ResNet-{depth}, {parameters} M parameters at width 1",
        partial(cifar_resnet, depth),
    )
    for depth, parameters in (
        (20, 0.27),
        (32, 0.46),
        (44, 0.66),
        (56, 0.85),
        (110, 1.7),
    )
}


def describe(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the architecture record of a network: plain values only."""
    return {"name": name, "args": dict(sorted(arguments.items()))}


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network; raises UsageError for a name or arguments it does not take."""
    if name not in MODELS:
        raise UsageError(
            f"no network is named {name!r}, there are: {', '.join(MODELS)}"
        )
    info = MODELS[name]
    taken = {*info.arguments(), "channels", "classes"}
    for key, value in arguments.items():
        if key not in taken:
            raise UsageError(
                f"{name} takes no argument {key!r},"
                f" it takes: {', '.join(sorted(taken))}"
            )
        if type(value) is not int or not 0 < value <= MAX_ARGUMENT:
            raise UsageError(f"argument {key} of {name} is {value!r}, expected a count")
    try:
        return info.build(**arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} cannot be built: {error}") from error


def build_record(record: Mapping[str, Any]) -> nn.Module:
    """Build the network of an architecture record, without memory for its tensors.

    Fill it with `load_state_dict(..., assign=True)`: a record of a small file cannot
    make it large. Raises FileError for a bad record.
    """
    name, arguments = record.get("name"), record.get("args")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise FileError("the architecture record has no name or no arguments")
    try:
        with torch.device("meta"):
            return build(name, arguments)
    except UsageError as error:
        raise FileError(f"the architecture record is of no use: {error}") from error
