"""Swap the weights of a network, in place, for latents; `materialize` swaps back."""

import math
import warnings
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lilnetx_cli.nn.latents import (
    LatentGroup,
    LatentWeight,
    TiedWeight,
    channels_last,
    latent_groups,
)
from lilnetx_cli.nn.looks_trained import looks_trained
from lilnetx_cli.nn.plain_weights import warn_of_plain_weights
from lilnetx_cli.nn.recurrent import read_weights_when_called
from lilnetx_cli.nn.targets import Chosen, Target, Tie, check_alike, find_targets

Start = Literal["trained", "random"]

# The size of the tightest weight of a group at the start, in quantization steps.
SPREADS: dict[Start, float] = {"trained": 16.0, "random": 0.3}
LARGEST_FIRST = 2.0**20  # of latents, however small the tightest weight is
# The RMS of the change by rounding, relative to that of the weight: more is warned of.
LARGEST_CHANGE = 0.33
TOO_COARSE = (
    "start='trained' (lilnetx train --init) or a larger spread keeps what it computes"
)
TOO_SMALL = "it is far smaller than others of its kind, leave it out with exclude"
ENERGY_TOLERANCE = 0.05
BISECTIONS = 20

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class RoundingWarning(UserWarning):
    """Rounding the first latents changes trained weights too much."""


def reparameterize(
    model: ModuleT,
    *,
    start: Start = "trained",
    exclude: Chosen = (),
    include: Chosen = (),
    spread: float | None = None,
) -> ModuleT:
    """Swap weights for quantized latents, in place.

    Taken are the weights of convolutions, linear and embedding layers, the projections
    of MultiheadAttention, and those of RNN, LSTM and GRU. Tied weights stay tied. The
    latents start where they decode to the present weights; how finely depends on
    `start`:

    - "trained" keeps what the network computes, up to a few percent: rounding changes
      a weight by about 2 % of its RMS, or less.
    - "random" is for a network that is trained from scratch: latents so coarse that
      most round to zero, which is where small files come from. Signals keep their size,
      so a sound initialization stays sound, with batch norm or without (LilNetX starts
      5 to 6 times too wide, which batch norm hides). What trained weights compute is
      lost.

    `spread` overrules the size in quantization steps, 16 and 0.3, with which the
    tightest weight of each group starts: its RMS, or for "random" its standard
    deviation. `exclude` holds names or types of modules to leave as they are, with all
    that is in them; those with a parametrization of their own are left, too. `include`
    holds types of layers that are not known here, all of whose floats of two or more
    dimensions become latents, and names of single weights ("blocks.*.kernel").

    Warns with PlainWeightsWarning where many weights are in layers of other types. And
    with RoundingWarning when rounding changes a trained weight by more than a
    third of its RMS. With start="random", weights count as trained if norms have
    learned scales or shifts, or if the rows of most weights differ more in size than
    drawn rows would.

    Raises ValueError for another start, a spread of 0 or less, a model that is
    reparameterized already, a name that no module or no weight has, and weights that
    are not float32, or of one group on several devices.
    """
    if start not in SPREADS:
        raise ValueError(f"start is {start!r}, expected 'trained' or 'random'")
    if spread is not None and not spread > 0:
        raise ValueError(f"spread is {spread}, expected more than 0")
    if latent_groups(model):
        raise ValueError("the model is reparameterized already")
    exclude, include = list(exclude), list(include)
    targets, ties = find_targets(model, exclude, include)
    warn_of_plain_weights(model, targets, exclude)
    groups = _by_group(targets)
    for key, members in groups.items():
        check_alike(key, members)
    trained = start == "trained" or looks_trained(model)
    for tie in ties:  # before the owner's parameter changes its meaning
        _let_go(tie.target)
    changes: dict[Target, float] = {}
    for key, members in groups.items():
        step = _first_step(members, start, SPREADS[start] if spread is None else spread)
        changes |= _swap(key, members, step)
    for tie in ties:
        _take_from(tie)
    for recurrent in {t.module for t in targets if isinstance(t.module, nn.RNNBase)}:
        read_weights_when_called(recurrent)
    if trained:
        finest = start == "trained" and spread is None
        _warn(model, changes, TOO_SMALL if finest else TOO_COARSE)
    return model


def _by_group(targets: list[Target]) -> dict[str, list[Target]]:
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.group, []).append(target)
    return groups


def _first_step(members: list[Target], start: Start, spread: float) -> float:
    """Return the step at which the tightest weight of a group has the wanted size."""
    weights = [target.weight.detach() for target in members]
    if start == "random":
        sizes = [float(weight.std()) for weight in weights]
    else:
        sizes = [float(weight.square().mean().sqrt()) for weight in weights]
    tightest = min((s for s in sizes if s > 0 and math.isfinite(s)), default=1.0)
    if start == "random":
        return tightest / spread
    largest = max((float(w.abs().max()) for w in weights if w.numel()), default=0.0)
    return max(tightest / spread, largest / LARGEST_FIRST)


@torch.no_grad()
def _swap(key: str, members: list[Target], step: float) -> dict[Target, float]:
    """Put latents in the place of a group's weights; return how each is changed.

    That is the RMS of the change by rounding, relative to the RMS of the weight.
    """
    group = LatentGroup(key, members[0].kernel, step).to(members[0].weight.device)
    changes = {}
    for target in members:
        before = target.weight.detach().clone()
        weight = LatentWeight(
            group,
            owner=target is members[0],
            order=target.order,
            last=channels_last(target.weight),
        )
        parametrize.register_parametrization(target.module, target.name, weight)
        entry = cast("nn.ModuleDict", target.module.parametrizations)[target.name]
        keep_energy(cast("Tensor", entry.original))
        size = float(before.norm())
        changes[target] = float((target.weight - before).norm()) / size if size else 0.0
    return changes


@torch.no_grad()
def keep_energy(latent: Tensor) -> None:
    """Scale latents so that rounding keeps their energy, where it does not.

    With steps as coarse as the weights themselves, rounding alone would shrink or grow
    a layer's output. A first decoder is orthonormal but for its step, so the energy of
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


def _let_go(target: Target) -> None:
    """Put an empty parameter where a tied one was."""
    nothing = nn.Parameter(target.weight.new_empty(0), requires_grad=False)
    target.module._parameters[target.name] = nothing


def _take_from(tie: Tie) -> None:
    """Give a module the weight of the one that has the latents."""
    tied = TiedWeight(tie.owner.module, tie.owner.name, tie.target.order)
    module, name = tie.target.module, tie.target.name
    parametrize.register_parametrization(module, name, tied, unsafe=True)


def _warn(model: nn.Module, changes: dict[Target, float], advice: str) -> None:
    """Warn, in one line, of weights that rounding changes too much."""
    spoiled = {
        x: change for x, change in changes.items() if not change <= LARGEST_CHANGE
    }
    if not spoiled:
        return
    worst = max(spoiled, key=spoiled.__getitem__)
    path = next(path for path, m in model.named_modules() if m is worst.module)
    name = f"{path}.{worst.name}".removeprefix(".")
    warnings.warn(
        f"rounding changes {len(spoiled)} of {len(changes)} trained weights by more"
        f" than {LARGEST_CHANGE:.0%} of their size, {name!r} by {spoiled[worst]:.0%}:"
        f" {advice}",
        RoundingWarning,
        stacklevel=3,
    )
