"""Networks by name, and the architecture record that a file keeps of one."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from lilnetx_cli.errors import FileError, UsageError, one_line, reason_of, suggestion
from lilnetx_cli.models.imagenet import (
    PREFIX,
    mobilenet_v2,
    mobilenet_v2_cifar,
    torchvision_names,
    torchvision_network,
)
from lilnetx_cli.models.outside import TIMM_PREFIX, factory_network, timm_network
from lilnetx_cli.models.resnet_cifar import cifar_resnet
from lilnetx_cli.models.vgg import cifar_vgg
from lilnetx_cli.user_code import check_factory, is_factory
from lnx.errors import printable

# A file is attacker text: no argument of a network may be larger than this.
MAX_ARGUMENT = 65_536
FORM = ("channels", "classes")  # arguments that come from the data set


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
            and name not in ("depth", *FORM)
        )


_CIFAR_RESNETS = {20: "0.27 M", 32: "0.46 M", 44: "0.66 M", 56: "0.85 M", 110: "1.7 M"}
_RESNETS = {18: "11.7 M", 34: "21.8 M", 50: "25.6 M"}
_VGGS = {11: "9.2 M", 13: "9.4 M", 16: "14.7 M", 19: "20.0 M"}

MODELS: dict[str, ModelInfo] = {
    **{
        f"resnet{depth}": ModelInfo(
            f"ResNet-{depth} for 32x32, {size} parameters at width 1",
            partial(cifar_resnet, depth),
        )
        for depth, size in _CIFAR_RESNETS.items()
    },
    **{
        f"vgg{depth}_bn": ModelInfo(
            f"VGG-{depth} with batch norm for 32x32, {size} parameters",
            partial(cifar_vgg, depth),
        )
        for depth, size in _VGGS.items()
    },
    "mobilenet_v2_cifar": ModelInfo(
        "MobileNet-V2 for 32x32, 2.2 M parameters", mobilenet_v2_cifar
    ),
    **{
        f"resnet{depth}": ModelInfo(
            f"ResNet-{depth} for 224x224, {size} parameters",
            partial(torchvision_network, f"resnet{depth}"),
        )
        for depth, size in _RESNETS.items()
    },
    "mobilenet_v2": ModelInfo(
        "MobileNet-V2 for 224x224, 3.5 M parameters", mobilenet_v2
    ),
}

OTHERS = {
    "torchvision:NAME": "any classification network of torchvision",
    "timm:NAME": "any network of timm, if that is installed",
    "path/file.py:factory": "what your function returns",
}


def describe(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the architecture record of a network: plain values only."""
    return {"name": name, "args": dict(sorted(arguments.items()))}


def find(name: str) -> ModelInfo:
    """Return the network of a name; raises UsageError where there is none."""
    if name in MODELS:
        return MODELS[name]
    for prefix, builder in (
        (PREFIX, torchvision_network),
        (TIMM_PREFIX, timm_network),
    ):
        if name.startswith(prefix):
            return ModelInfo(name, partial(builder, name.removeprefix(prefix)))
    check_factory(name)
    if name in torchvision_names():
        hint = f", did you mean {PREFIX}{name}?"
    else:
        hint = suggestion(name, [*MODELS, *OTHERS])
    raise UsageError(f"no network is named {printable(name)}{hint}")


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network; raises UsageError for a name or arguments it does not take.

    A name of the form path/file.py:factory runs that file.
    """
    for key, value in arguments.items():
        if type(value) is not int or not 0 < value <= MAX_ARGUMENT:
            raise UsageError(
                f"argument {printable(key)} of {printable(name)} is"
                f" {one_line(repr(value))}, expected a count"
            )
    if is_factory(name):
        return factory_network(name, arguments)
    info = find(name)
    taken = {*info.arguments(), *FORM}
    for key in arguments:
        if key not in taken:
            hint = suggestion(key, taken, f", it takes: {', '.join(sorted(taken))}")
            raise UsageError(
                f"{printable(name)} takes no argument {printable(key)}{hint}"
            )
    missing = [key for key in FORM if key not in arguments]
    if missing:
        raise UsageError(
            f"{printable(name)} needs {' and '.join(missing)}: add"
            " --model-arg channels=3 --model-arg classes=1000, or your own numbers"
        )
    try:
        return info.build(**arguments)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise UsageError(
            f"{printable(name)} cannot be built: {reason_of(error)}"
        ) from error


def build_record(record: Mapping[str, Any]) -> nn.Module:
    """Build the network of an architecture record.

    Raises FileError for a bad record, UsageError for one that names a function of the
    user's, which a file may not call.
    """
    name, arguments = record.get("name"), record.get("args")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise FileError("the architecture record has no name or no arguments")
    if is_factory(name):
        raise UsageError(
            f"the network was made by {printable(name)}, which a file may not run:"
            " name it with --model (in Python, load_model(path, model=...))"
        )
    try:
        return build(name, arguments)
    except UsageError as error:
        raise FileError(f"the architecture record is unusable: {error}") from error
