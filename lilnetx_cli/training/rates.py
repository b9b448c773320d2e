"""Learning rates in a loop of the user's own: those of latents follow their steps."""

from typing import Any

import torch
from torch import nn

from lilnetx_cli.nn.latents import latent_groups
from lilnetx_cli.training.groups import kinds_of
from lilnetx_cli.training.steered import Steered
from lilnetx_cli.training.steering import quickness

LATENTS = "latents"  # key of a parameter group: the name of their group
# Keys of one: the rate that it is given, and the one that SGD takes in its place.
GIVEN, PLAIN = "given_lr", "plain_lr"
OWN = "own_lr"  # key of one during a step: the rate that it has between steps


def groups_of(
    model: nn.Module, lr: float, latent_lr: float, decoder_lr: float, density_lr: float
) -> list[dict[str, Any]]:
    """Return the parameters of a network as groups of an optimizer, with their rates.

    `lr` is the rate of what has no latents, and of everything with SGD, but for bases
    of decoders, which then stay.
    """
    kinds = kinds_of(model)

    def own(rate: float, plain: float = lr) -> dict[str, Any]:
        return {"lr": rate, GIVEN: rate, PLAIN: plain, "weight_decay": 0.0}

    groups: list[dict[str, Any]] = [{"params": kinds.rest, "lr": lr}]
    groups += [
        {"params": latents, LATENTS: name, **own(latent_lr)}
        for name, latents in kinds.latents.items()
    ]
    groups += [
        {"params": kinds.bases, **own(decoder_lr, plain=0.0)},
        {"params": kinds.densities, **own(density_lr)},
    ]
    return [group for group in groups if group["params"]]


def set_step_rates(course: Steered, optimizer: torch.optim.Optimizer) -> None:
    """Set the rates of latents for one step, and those of SGD."""
    steps = latent_groups(course.model)
    for group in optimizer.param_groups:
        if GIVEN not in group:
            continue
        rate = group.setdefault(OWN, group["lr"])  # it is there if a step has failed
        if isinstance(optimizer, torch.optim.SGD):
            group["lr"] = _plain_rate(group, rate)
            if LATENTS in group:
                # A gradient of latents is that of the weights times the step, and so is
                # what a move of latents does to the weights.
                group["lr"] /= float(steps[group[LATENTS]].step) ** 2
        elif LATENTS in group:
            group["lr"] = rate * quickness(course)


def _plain_rate(group: dict[str, Any], rate: float) -> float:
    """Return a rate in units of the weights, scheduled as the present one is."""
    return float(rate * group[PLAIN] / group[GIVEN]) if group[GIVEN] else 0.0


def restore_rates(optimizer: torch.optim.Optimizer) -> None:
    """Give groups the rates back that they have between steps."""
    for group in optimizer.param_groups:
        if OWN in group:
            group["lr"] = group.pop(OWN)
