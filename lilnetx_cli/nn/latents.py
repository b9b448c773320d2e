"""Swap the weights of a network, in place, for integer latents behind decoders.

A weight of shape (O, I, *kernel) is viewed as O * I slices of L = prod(kernel) values,
any other as slices of one value. Weights of one kind and kernel form a group: one
decoder, one density, whole network.
"""

import math
from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lilnetx_cli.nn.decoding import cosine_basis, decode_matmul
from lilnetx_cli.nn.density import FactorizedDensity
from lilnetx_cli.nn.recurrent import read_weights_when_called
from lilnetx_cli.nn.rounding import round_ste
from lilnetx_cli.nn.targets import Target, Tie, check_alike, find_targets

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

    def __init__(
        self, group: LatentGroup, *, owner: bool, order: tuple[str, ...]
    ) -> None:
        super().__init__()
        self._shared = (group,)
        self.owned = group if owner else None
        self.order = order  # of the module's parameters

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


class TiedWeight(nn.Module):
    """The parametrization of a weight that is another module's: it has no latents."""

    def __init__(self, owner: nn.Module, name: str, order: tuple[str, ...]) -> None:
        super().__init__()
        self._owner = (owner,)
        self.name = name
        self.order = order

    @property
    def owner(self) -> nn.Module:
        """The module that has the latents."""
        return self._owner[0]

    def forward(self, nothing: Tensor) -> Tensor:
        """Return the other module's weight."""
        del nothing
        return cast("Tensor", getattr(self.owner, self.name))

    def right_inverse(self, nothing: Tensor) -> Tensor:
        """Hold nothing."""
        return nothing


def reparameterize(
    model: ModuleT,
    *,
    exclude: Iterable[str | type[nn.Module]] = (),
    spread: float = DEFAULT_SPREAD,
) -> ModuleT:
    """Swap weights for quantized latents, in place.

    Taken are the weights of convolutions, linear and embedding layers, the projections
    of MultiheadAttention, and those of RNN, LSTM and GRU. Weights that are one stay
    one. The latents start where they decode to the present weights, so a sound
    initialization stays sound, with batch norm or without (LilNetX starts 5 to 6 times
    too wide, which batch norm hides). `spread` is the standard deviation, in
    quantization steps, that the latents of the tightest weight of each group start
    with. `exclude` holds names or types of modules to leave as they are, with all that
    is in them; those with a parametrization of their own are left, too.

    Raises ValueError for a model that is reparameterized already, for an excluded name
    that no module has, and for weights that are not float32, or of one group on several
    devices.
    """
    if latent_groups(model):
        raise ValueError("the model is reparameterized already")
    targets, ties = find_targets(model, exclude)
    groups = _by_group(targets)
    for key, members in groups.items():
        check_alike(key, members)
    for tie in ties:  # before the owner's parameter changes its meaning
        _let_go(tie.target)
    for key, members in groups.items():
        group = LatentGroup(key, members[0].kernel, _scale(members, spread))
        group.to(members[0].weight.device)
        for target in members:
            owner = target is members[0]
            weight = LatentWeight(group, owner=owner, order=target.order)
            parametrize.register_parametrization(target.module, target.name, weight)
    for tie in ties:
        _take_from(tie)
    for recurrent in {t.module for t in targets if isinstance(t.module, nn.RNNBase)}:
        read_weights_when_called(recurrent)
    for _, _, latent in latent_weights(model):
        _keep_energy(latent)
    return model


def _by_group(targets: list[Target]) -> dict[str, list[Target]]:
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.group, []).append(target)
    return groups


def _let_go(target: Target) -> None:
    """Put an empty parameter where a tied one was."""
    nothing = nn.Parameter(target.weight.new_empty(0), requires_grad=False)
    target.module._parameters[target.name] = nothing


def _take_from(tie: Tie) -> None:
    """Give a module the weight of the one that has the latents."""
    tied = TiedWeight(tie.owner.module, tie.owner.name, tie.target.order)
    module, name = tie.target.module, tie.target.name
    parametrize.register_parametrization(module, name, tied, unsafe=True)


def latent_weights(model: nn.Module) -> Iterator[tuple[str, LatentWeight, Tensor]]:
    """Yield (weight name, parametrization, unrounded latents) in network order."""
    for name, module in model.named_modules():
        for tensor, weight, original in parametrizations_of(module):
            if isinstance(weight, LatentWeight):
                key = f"{name}.{tensor}" if name else tensor
                yield key, weight, original


def parametrizations_of(
    module: nn.Module,
) -> Iterator[tuple[str, LatentWeight | TiedWeight, Tensor]]:
    """Yield (tensor name, parametrization, latents) of one module."""
    if not parametrize.is_parametrized(module):
        return
    for name, entry in cast("nn.ModuleDict", module.parametrizations).items():
        first = cast("nn.ModuleList", entry)[0]
        if isinstance(first, LatentWeight | TiedWeight):
            yield name, first, cast("Tensor", entry.original)


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


def _scale(members: list[Target], spread: float) -> float:
    """Return the step at which the tightest weight has the wanted spread."""
    deviations = [float(target.weight.detach().float().std()) for target in members]
    tightest = min((d for d in deviations if d > 0 and math.isfinite(d)), default=1.0)
    return tightest / spread
