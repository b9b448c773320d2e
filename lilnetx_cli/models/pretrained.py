"""Start a network from the weights of a trained one."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lilnetx_cli.errors import InputError, UsageError, reason_of
from lilnetx_cli.models.imagenet import PREFIX
from lilnetx_cli.models.outside import TIMM_PREFIX
from lnx.errors import printable

# Those of our own names that build exactly torchvision's networks.
AT_TORCHVISION = ("resnet18", "resnet34", "resnet50", "mobilenet_v2")
SHOWN = 4


@dataclass(frozen=True)
class Start:
    """What a network took over from a trained one.

    Attributes:
        taken: number of tensors.
        fresh: names of tensors that the trained network lacks or has in another shape.
    """

    taken: int
    fresh: tuple[str, ...]

    def text(self) -> str:
        """Say it in one line."""
        if not self.fresh:
            return f"all {self.taken} tensors copied"
        more = ", ..." if len(self.fresh) > SHOWN else ""
        names = ", ".join(self.fresh[:SHOWN]) + more
        return f"{self.taken} tensors copied, {len(self.fresh)} untrained: {names}"


@torch.no_grad()
def start_from(network: nn.Module, state: Mapping[str, Tensor]) -> Start:
    """Copy every tensor that fits by name and shape into a network, in place.

    Raises InputError where no weight fits.
    """
    fresh = []
    own = network.state_dict()
    for name, tensor in own.items():
        given = state.get(name)
        if given is None or given.shape != tensor.shape:
            fresh.append(name)
        else:
            tensor.copy_(given)
    weights = [name for name, tensor in own.items() if tensor.dim() > 1]
    if weights and set(weights) <= set(fresh):
        raise InputError(
            "no weight of the trained network fits this one: it has"
            f" {_named(list(state))}, this one {_named(list(own))}"
        )
    return Start(len(own) - len(fresh), tuple(fresh))


def _named(names: list[str]) -> str:
    more = ", ..." if len(names) > SHOWN else ""
    return (", ".join(map(printable, names[:SHOWN])) or "no tensors") + more


def pretrained_state(name: str) -> dict[str, Tensor]:
    """Return the trained weights that torchvision or timm offers, downloaded once.

    Raises UsageError for networks without any, InputError if the download fails.
    """
    try:
        return _downloaded(name)
    except UsageError:
        raise
    except Exception as error:  # of the network, the file system, the library
        reason = reason_of(error)
        raise InputError(
            f"trained weights of {name!r} are not available: {reason}"
        ) from error


def _downloaded(name: str) -> dict[str, Tensor]:
    if name.startswith(TIMM_PREFIX):
        import timm

        network: nn.Module = timm.create_model(
            name.removeprefix(TIMM_PREFIX), pretrained=True
        )
        return network.state_dict()
    if name.startswith(PREFIX) or name in AT_TORCHVISION:
        from torchvision.models import get_model_weights

        kinds = list(get_model_weights(name.removeprefix(PREFIX)))
        if not kinds:
            raise UsageError(f"torchvision has no trained weights of {name!r}")
        best = get_model_weights(name.removeprefix(PREFIX)).DEFAULT
        state: dict[str, Tensor] = best.get_state_dict(progress=False, check_hash=True)
        return state
    raise UsageError(
        f"{name!r} has no trained weights: --pretrained is for torchvision:NAME,"
        f" timm:NAME, {', '.join(AT_TORCHVISION)}; use --init with a file of your own"
    )
