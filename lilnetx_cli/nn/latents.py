"""Swap the weights of a network, in place, for integer latents behind decoders.

A weight of shape (O, I, *kernel) is viewed as O * I slices of L = prod(kernel) values.
Weights of one kernel shape form a group: one decoder, one density, whole network.
"""

import copy
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from lilnetx_cli.nn.decoding import cosine_basis, decode_exact, decode_matmul
from lilnetx_cli.nn.density import FactorizedDensity
from lilnetx_cli.nn.rounding import round_ste

DEFAULT_SPREAD = 0.3
ENERGY_TOLERANCE = 0.05
BISECTIONS = 20

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class LatentGroup(nn.Module):
    """What all weights of one kernel shape share: a decoder and a density."""

    decoder: nn.Parameter

    def __init__(self, key: str, kernel: tuple[int, ...], scale: float) -> None:
        super().__init__()
        self.key = key
        self.kernel = kernel
        self.slice_length = math.prod(kernel)
        self.decoder = nn.Parameter(scale * cosine_basis(kernel))  # (L, L)
        self.density = FactorizedDensity(self.slice_length)


class LatentWeight(nn.Module):
    """The parametrization of one weight: latents of the weight's own shape.

    The first weight of a group owns it, as a submodule. The others refer to it from a
    tuple, so that its parameters appear once, and a deepcopy still copies it once.
    """

    def __init__(self, group: LatentGroup, *, owner: bool) -> None:
        super().__init__()
        self._shared = (group,)
        self.owned = group if owner else None

    @property
    def group(self) -> LatentGroup:
        """The decoder and density that this weight shares with its group."""
        return self._shared[0]

    def rows(self, latent: Tensor) -> Tensor:
        """Return the latents as slices, (N, L)."""
        return latent.reshape(-1, self.group.slice_length)

    def forward(self, latent: Tensor) -> Tensor:
        """Decode the rounded latents; shape of the weight in and out.

        Always in float32: under autocast only the network itself computes in less.
        """
        with torch.autocast(latent.device.type, enabled=False):
            rows = round_ste(self.rows(latent))
            return decode_matmul(rows, self.group.decoder).reshape(latent.shape)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the latents that decode to a weight, before rounding."""
        decoder = self.group.decoder.detach()
        rows = self.rows(weight)
        latent: Tensor = torch.linalg.solve(decoder, rows, left=False)  # (N, L)
        return latent.reshape(weight.shape)


def reparameterize(
    model: ModuleT, *, exclude: Iterable[str] = (), spread: float = DEFAULT_SPREAD
) -> ModuleT:
    """Swap convolution and linear weights for quantized latents, in place.

    The latents start where they decode to the present weights, so a sound
    initialization stays sound, with batch norm or without (LilNetX starts 5 to 6 times
    too wide, which batch norm hides). `spread` is the standard
    deviation, in quantization steps, that the latents of the tightest weight of each
    group start with. `exclude` holds names of modules to leave as they are, with all
    that is in them; weights shared between modules and weights with a parametrization
    of their own are left, too.

    Raises ValueError for a model that is reparameterized already, for an excluded name
    that no module has, and for weights that are not float32, or of one group on several
    devices.
    """
    if latent_groups(model):
        raise ValueError("the model is reparameterized already")
    chosen = _candidates(model, frozenset(exclude))
    for key, members in _by_kernel(chosen).items():
        _check_alike(key, members)
    for key, members in _by_kernel(chosen).items():
        group = LatentGroup(key, _kernel(members[0]), _scale(members, spread))
        group.to(_weight(members[0]).device)
        for module in members:
            weight = LatentWeight(group, owner=module is members[0])
            parametrize.register_parametrization(module, "weight", weight)
    for _, _, latent in latent_weights(model):
        _keep_energy(latent)
    return model


def latent_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield (name, module) of every module whose weight is held as latents."""
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            entry = cast("nn.ModuleDict", module.parametrizations)["weight"]
            if isinstance(cast("nn.ModuleList", entry)[0], LatentWeight):
                yield name, module


def latent_weights(model: nn.Module) -> Iterator[tuple[str, LatentWeight, Tensor]]:
    """Yield (weight name, parametrization, unrounded latents) in network order."""
    for name, module in latent_modules(model):
        entry = cast("nn.ModuleDict", module.parametrizations)["weight"]
        latent = cast("Tensor", entry.original)
        key = f"{name}.weight" if name else "weight"
        yield key, cast("LatentWeight", cast("nn.ModuleList", entry)[0]), latent


def latent_groups(model: nn.Module) -> dict[str, LatentGroup]:
    """Return the groups of a reparameterized model by name; empty for a plain one."""
    groups: dict[str, LatentGroup] = {}
    for _, weight, _ in latent_weights(model):
        group, key, number = weight.group, weight.group.key, 2
        while groups.setdefault(key, group) is not group:  # parts made on their own
            key, number = f"{group.key}.{number}", number + 1
    return groups


def density_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of all densities, which have an optimizer of their own."""
    groups = latent_groups(model).values()
    return [p for group in groups for p in group.density.parameters()]


def materialize(model: ModuleT) -> ModuleT:
    """Return the plain network, weights decoded once; the original trains on."""
    return decode_in_place(copy.deepcopy(model))


def decode_in_place(model: ModuleT) -> ModuleT:
    """Turn a network of one's own, a copy, into the plain one it stands for.

    Modules get their own class back without `remove_parametrizations`: a copy shares
    the class that torch made with the original, which that would break.
    """
    for _, module in list(latent_modules(model)):
        entry = cast("nn.ModuleDict", module.parametrizations)["weight"]
        latent = cast("Tensor", entry.original).detach()
        parametrization = cast("LatentWeight", cast("nn.ModuleList", entry)[0])
        rows = torch.round(parametrization.rows(latent))
        weight = decode_exact(rows, parametrization.group.decoder)
        module.__class__ = type(module).__bases__[0]
        del module.parametrizations
        weight = weight.reshape(latent.shape).to(latent.device, latent.dtype)
        trains = cast("Tensor", entry.original).requires_grad
        parameter = nn.Parameter(weight, requires_grad=trains)
        module.register_parameter("weight", parameter)
        _weight_first(module)
    return model


def _weight_first(module: nn.Module) -> None:
    """Put the weight back where it stood: before the bias in every state dict."""
    parameters = module._parameters
    for name in [name for name in parameters if name != "weight"]:
        parameters[name] = parameters.pop(name)


def _candidates(model: nn.Module, exclude: frozenset[str]) -> list[nn.Module]:
    names = dict(model.named_modules())
    unknown = sorted(exclude - names.keys())
    if unknown:
        raise ValueError(f"no module named {unknown[0]!r} to exclude")
    owners = Counter(
        id(p) for m in model.modules() for p in m._parameters.values() if p is not None
    )
    return [
        module
        for name, module in names.items()
        if isinstance(module, (_ConvNd, nn.Linear))
        and not any(name == x or name.startswith(f"{x}.") for x in exclude)
        and not parametrize.is_parametrized(module)
        and owners[id(module.weight)] == 1
    ]


def _check_alike(key: str, members: list[nn.Module]) -> None:
    weights = [_weight(module) for module in members]
    for weight in weights:
        if weight.dtype != torch.float32:
            raise ValueError(
                f"a weight of group {key} is {weight.dtype}, expected torch.float32:"
                " reparameterize first, and train under autocast"
            )
    if len({weight.device for weight in weights}) > 1:
        raise ValueError(f"weights of group {key} are on several devices")


def _by_kernel(modules: list[nn.Module]) -> dict[str, list[nn.Module]]:
    groups: dict[str, list[nn.Module]] = {}
    for module in modules:
        groups.setdefault(_group_key(module), []).append(module)
    return groups


def _group_key(module: nn.Module) -> str:
    if isinstance(module, nn.Linear):
        return "dense"
    conv = cast("_ConvNd", module)
    size = "x".join(str(k) for k in conv.kernel_size)
    depthwise = conv.groups > 1 and conv.groups == conv.in_channels
    return f"depthwise{size}" if depthwise else f"conv{size}"


def _kernel(module: nn.Module) -> tuple[int, ...]:
    return tuple(_weight(module).shape[2:])


def _weight(module: nn.Module) -> Tensor:
    return cast("Tensor", module.weight)


@torch.no_grad()
def _keep_energy(latent: Tensor) -> None:
    """Scale latents so that rounding them does not change the size of the weights.

    With steps as coarse as the weights themselves, rounding alone would shrink or grow
    a layer's output. The decoder is orthonormal up to its scale here, so the energy of
    the latents is that of the weights.
    """
    wanted = float(latent.square().sum())
    if abs(float(latent.round().square().sum()) - wanted) <= ENERGY_TOLERANCE * wanted:
        return
    low, high = 0.25, 4.0
    for _ in range(BISECTIONS):
        middle = (low * high) ** 0.5
        if float((middle * latent).round().square().sum()) < wanted:
            low = middle
        else:
            high = middle
    latent.mul_(high)


def _scale(members: list[nn.Module], spread: float) -> float:
    """Return the step at which the tightest weight has the wanted spread."""
    deviations = [float(_weight(m).detach().float().std()) for m in members]
    tightest = min((d for d in deviations if d > 0 and math.isfinite(d)), default=1.0)
    return tightest / spread
