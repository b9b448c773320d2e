"""Give a fresh network the weights of a trained one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lilnetx_cli.errors import InputError, UsageError
from lilnetx_cli.models.imagenet import PREFIX
from lilnetx_cli.models.outside import TIMM_PREFIX

# Of our own names, those that are torchvision's networks to the last tensor.
AT_TORCHVISION = ("resnet18", "resnet34", "resnet50", "mobilenet_v2")
SHOWN = 4


@dataclass(frozen=True)
class Start:
    """What a network took over.

    Attributes:
        taken: how many tensors.
        fresh: names of those that the trained network has not, or in another shape.
    """

    taken: int
    fresh: tuple[str, ...]

    def text(self) -> str:
        """Say it in one line."""
        if not self.fresh:
            return f"all {self.taken} tensors taken over"
        more = ", ..." if len(self.fresh) > SHOWN else ""
        names = ", ".join(self.fresh[:SHOWN]) + more
        return f"{self.taken} tensors taken over, {len(self.fresh)} are fresh: {names}"


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
        raise InputError("no weight of the trained network fits this one")
    return Start(len(own) - len(fresh), tuple(fresh))


def pretrained_state(name: str) -> dict[str, Tensor]:
    """Return the weights that torchvision or timm has of a network, downloaded once.

    Raises UsageError for networks without any, InputError where they are not to be had.
    """
    try:
        return _downloaded(name)
    except UsageError:
        raise
    except Exception as error:  # of the network, the file system, the library
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"trained weights of {name!r} cannot be had: {reason}"
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


@torch.no_grad()
def unfold_batch_norms(network: nn.Module, images: Iterable[Tensor]) -> int:
    """Give folded batch norms statistics again, in place; the function stays.

    A finished network has mean 0 and variance 1, all else in scale and shift; trained
    on, its batch norms would divide by what batches have. Returns how many there were.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and _folded(m)]
    seen: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}
    handles = [
        norm.register_forward_pre_hook(
            lambda module, args: seen[module].append(args[0].transpose(0, 1).flatten(1))
        )
        for norm in norms
    ]
    was_training = network.training
    network.eval()
    for batch in images if norms else ():
        network(batch)
    network.train(was_training)
    for handle in handles:
        handle.remove()
    for norm, inputs in seen.items():
        if isinstance(norm, _BatchNorm) and inputs:
            _unfold(norm, torch.cat(inputs, 1))
    return len(norms)


def _folded(norm: _BatchNorm) -> bool:
    mean, variance = norm.running_mean, norm.running_var
    if not norm.affine or mean is None or variance is None:
        return False
    return bool((mean == 0).all() and (variance == 1).all())


def _unfold(norm: _BatchNorm, values: Tensor) -> None:
    """Take mean and variance of inputs, (C, N), out of scale and shift."""
    mean, variance = values.mean(1), values.var(1, unbiased=False)
    factor = norm.weight / (1 + norm.eps) ** 0.5
    norm.weight.copy_(factor * (variance + norm.eps).sqrt())
    norm.bias.add_(factor * mean)
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
