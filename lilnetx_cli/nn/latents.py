"""Latents in the place of weights: the parametrizations, and how to find them.

A weight of shape (O, I, *kernel) is viewed as O * I slices of L = prod(kernel) values,
any other as slices of one value. Weights of one kind and kernel size form a group,
which shares one decoder and one density across the whole network.
"""

import math
from collections.abc import Iterator
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.decoding import cosine_basis, decode_matmul
from lilnetx_cli.nn.density import FactorizedDensity
from lilnetx_cli.nn.rounding import round_ste

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class LatentGroup(nn.Module):
    """What the weights of one group share: a decoder and a density.

    The decoder is a basis, which is trained and starts orthonormal, times the
    quantization step. So one learning rate suits the bases of all networks.
    """

    basis: nn.Parameter
    step: Tensor

    def __init__(self, key: str, kernel: tuple[int, ...], step: float) -> None:
        super().__init__()
        self.key = key
        self.kernel = kernel
        self.slice_length = math.prod(kernel)
        self.basis = nn.Parameter(cosine_basis(kernel))  # (L, L)
        self.register_buffer("step", torch.tensor(step))
        self.density = FactorizedDensity(self.slice_length)

    @property
    def decoder(self) -> Tensor:
        """What decodes the slices of the group, (L, L)."""
        return self.step * self.basis

    @torch.no_grad()
    def set_decoder(self, decoder: Tensor) -> None:
        """Take over a decoder, (L, L), to the bit.

        The step becomes the power of two by which the basis is about orthonormal.
        """
        size = float(decoder.norm()) / math.sqrt(self.slice_length)
        exponent = round(math.log2(size)) if size > 0 and math.isfinite(size) else 0
        self.step.fill_(2.0**exponent)
        self.basis.copy_(decoder / self.step)


class LatentWeight(nn.Module):
    """The parametrization of one weight: latents of the weight's own shape.

    The first weight of a group owns the group, as a submodule. The others refer to it
    from a tuple, so that its parameters appear once and a deepcopy copies it once.

    Attributes:
        order: names of the module's parameters.
        last: whether the weight is channels-last in memory, whatever the latents are.
            Grey images are laid out both ways at once: there the weight decides the
            layout of what a convolution returns.
    """

    def __init__(
        self,
        group: LatentGroup,
        *,
        owner: bool,
        order: tuple[str, ...],
        last: bool = False,
    ) -> None:
        super().__init__()
        self._shared = (group,)
        self.owned = group if owner else None
        self.order = order
        self.last = last

    @property
    def group(self) -> LatentGroup:
        """The decoder and density that this weight shares with its group."""
        return self._shared[0]

    def rows(self, latent: Tensor) -> Tensor:
        """Return the latents as slices, (N, L)."""
        return latent.reshape(-1, self.group.slice_length)

    def forward(self, latent: Tensor) -> Tensor:
        """Decode the rounded latents; shape of the weight in and out.

        Always in float32: autocast lowers the precision of the network alone.
        """
        kind = latent.device.type
        if torch.is_autocast_enabled(kind):  # a context costs as much as the decoding
            with torch.autocast(kind, enabled=False):
                return self._decoded(latent)
        return self._decoded(latent)

    def _decoded(self, latent: Tensor) -> Tensor:
        rows = round_ste(self.rows(latent))
        found = decode_matmul(rows, self.group.decoder).reshape(latent.shape)
        if self.last or channels_last(latent):
            return found.to(memory_format=torch.channels_last)
        return found

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the latents that decode to a weight, before rounding."""
        decoder = self.group.decoder.detach()
        rows = self.rows(weight)
        latent: Tensor = torch.linalg.solve(decoder, rows, left=False)  # (N, L)
        return latent.reshape(weight.shape)


def channels_last(tensor: Tensor) -> bool:
    """Tell whether a tensor of four dimensions is channels-last in memory.

    By its strides, since of one channel, or of kernels of one weight, either layout
    passes for the other.
    """
    if tensor.dim() != 4:
        return False
    return tensor.stride(1) == 1 and tensor.stride(3) == tensor.shape[1]


class TiedWeight(nn.Module):
    """The parametrization of a weight tied to another module's: it has no latents."""

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


def latent_weights(model: nn.Module) -> Iterator[tuple[str, LatentWeight, Tensor]]:
    """Yield (weight name, parametrization, unrounded latents) in network order."""
    for name, module in model.named_modules():
        for tensor, weight, latent in parametrizations_of(module, LatentWeight):
            yield f"{name}.{tensor}".removeprefix("."), weight, latent


def parametrizations_of(
    module: nn.Module, kind: type[ModuleT]
) -> Iterator[tuple[str, ModuleT, Tensor]]:
    """Yield (tensor name, parametrization, parameter behind it) of one kind."""
    if "parametrizations" not in module._modules:  # fast: asked at every step
        return
    for name, entry in cast("nn.ModuleDict", module.parametrizations).items():
        first = cast("nn.ModuleList", entry)[0]
        if isinstance(first, kind):
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
