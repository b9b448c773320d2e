"""Learning rates in a loop of the user's own: those of latents follow their steps."""

from typing import Any

import torch
from torch import nn

from lilnetx_cli.nn.latents import latent_groups
from lilnetx_cli.training.groups import kinds_of
from lilnetx_cli.training.steered import Steered
from lilnetx_cli.training.steering import quickness

LATENTS = "latents"  # key of a parameter group: the name of their group
PLAIN = "plain_lr"  # key of one: the rate that it has with SGD
OWN = "own_lr"  # key of one during a step: the rate that it has between steps


def groups_of(
    model: nn.Module, lr: float, latent_lr: float, decoder_lr: float, density_lr: float
) -> list[dict[str, Any]]:
    """Return the parameters of a network as groups of an optimizer, with their rates.

    `lr` is the rate of what has no latents, and of everything with SGD, but for bases
    of decoders, which then stay.
    """
    kinds = kinds_of(model)
    own = {PLAIN: lr, "weight_decay": 0.0}
    groups: list[dict[str, Any]] = [{"params": kinds.rest, "lr": lr}]
    groups += [
        {"params": latents, "lr": latent_lr, LATENTS: name, **own}
        for name, latents in kinds.latents.items()
    ]
    groups += [
        {"params": kinds.bases, "lr": decoder_lr, **own, PLAIN: 0.0},
        {"params": kinds.densities, "lr": density_lr, **own},
    ]
    return [group for group in groups if group["params"]]


def use_plain_rates(optimizer: torch.optim.Optimizer) -> None:
    """Give the groups of SGD, in place, rates in units of the weights."""
    if isinstance(optimizer, torch.optim.SGD):
        for group in optimizer.param_groups:
            group["lr"] = group.get(PLAIN, group["lr"])


def set_step_rates(course: Steered, optimizer: torch.optim.Optimizer) -> None:
    """Set the rates of latents for one step."""
    steps = latent_groups(course.model)
    for group in optimizer.param_groups:
        if LATENTS not in group:
            continue
        group[OWN] = group["lr"]
        # A gradient of latents is that of the weights times the step, and so is what a
        # move of latents does to the weights.
        if isinstance(optimizer, torch.optim.SGD):
            group["lr"] = group["lr"] / float(steps[group[LATENTS]].step) ** 2
        else:
            group["lr"] = group["lr"] * quickness(course)


def restore_rates(optimizer: torch.optim.Optimizer) -> None:
    """Give latents the rates back that they have between steps."""
    for group in optimizer.param_groups:
        if LATENTS in group:
            group["lr"] = group.pop(OWN)
