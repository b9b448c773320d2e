"""Weights of one size before all batch norms, which take the factor away again."""

from collections.abc import Callable, Collection
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lilnetx_cli.nn.norm_pairs import filters_before_norms
from lilnetx_cli.nn.targets import Chosen, find_targets

# Outputs may change by this share of their RMS: the eps of a norm does not scale.
TOLERANCE = 0.01


@torch.no_grad()
def equalize_weights(
    model: nn.Module,
    outputs: Callable[[nn.Module], Tensor | None],
    exclude: Chosen = (),
    without: Collection[nn.Module] = (),
) -> int:
    """Scale weights before batch norms to the smallest RMS of their group, in place.

    Weights of a group share a quantization step: where they differ in size, the widest
    takes several times the bits of the tightest. Biases and running statistics follow,
    so that a plain network computes what it did. `outputs` runs it in evaluation mode;
    where the outputs do change, or are not one tensor, all is undone. Weights in
    `exclude`, as for `reparameterize`, stay, and so do those before the norms in
    `without`. Returns how many weights were scaled.
    """
    targets, _ = find_targets(model, exclude)
    before = outputs(model)
    norms = {conv: norm for norm, conv in filters_before_norms(model, outputs).items()}
    if before is None:
        return 0
    smallest: dict[str, float] = {}
    for target in targets:
        size = _rms(target.weight)
        if size > 0:
            smallest[target.group] = min(size, smallest.get(target.group, size))
    done: list[tuple[_BatchNorm, nn.Module, float]] = []
    for target in targets:
        size, norm = _rms(target.weight), norms.get(target.module)
        if size > 0 and norm is not None and norm not in without:
            factor = smallest[target.group] / size
            _scale(norm, target.module, factor)
            done.append((norm, target.module, factor))
    change = (cast("Tensor", outputs(model)) - before).square().mean()
    if bool(change <= TOLERANCE**2 * before.square().mean()):
        return len(done)
    for norm, module, factor in done:
        _scale(norm, module, 1 / factor)
    return 0


def _rms(weight: Tensor) -> float:
    return float(weight.square().mean().sqrt())


def _scale(norm: _BatchNorm, module: nn.Module, factor: float) -> None:
    for parameter in (module._parameters["weight"], module._parameters.get("bias")):
        if parameter is not None:
            parameter.mul_(factor)
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean.mul_(factor)
        norm.running_var.mul_(factor * factor)
