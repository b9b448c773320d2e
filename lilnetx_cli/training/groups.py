"""Parameters by what they are to the method, which need learning rates of their own."""

from dataclasses import dataclass
from itertools import chain

from torch import nn

from lilnetx_cli.nn.latents import density_parameters, latent_groups, latent_weights


@dataclass(frozen=True, eq=False)
class Kinds:
    """All parameters of a reparameterized network, each once.

    Attributes:
        latents: by the name of their group, which has one quantization step.
        rest: norms, biases and whatever has no latents.
        bases: of the decoders.
        densities: parameters of the densities.
    """

    latents: dict[str, list[nn.Parameter]]
    rest: list[nn.Parameter]
    bases: list[nn.Parameter]
    densities: list[nn.Parameter]


def kinds_of(model: nn.Module) -> Kinds:
    """Return the parameters of a network by kind; of a plain one, all are the rest."""
    groups = latent_groups(model)
    names = {id(group): name for name, group in groups.items()}
    latents: dict[str, list[nn.Parameter]] = {name: [] for name in groups}
    for _, weight, latent in latent_weights(model):
        if isinstance(latent, nn.Parameter):
            latents[names[id(weight.group)]].append(latent)
    bases = [group.basis for group in groups.values()]
    densities = density_parameters(model)
    apart = {id(p) for p in [*densities, *bases, *chain(*latents.values())]}
    rest = [p for p in model.parameters() if id(p) not in apart]
    return Kinds(latents, rest, bases, densities)
