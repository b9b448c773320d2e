"""Norms and biases -> multiples of powers of two: what one loses, others make up for.

The outputs of a network change by J d where its side parameters change by d. So these
are rounded in order, with error feedback, like a row of weights whose inputs have the
second moments J^T J.

Legend: N images, M numbers that are seen of the outputs of each, P side parameters.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from lilnetx_cli.nn.side_rounding import relative_change, round_side
from lilnetx_cli.quantization.feedback import feedback_factor, round_with_feedback

IMAGES = 64  # that J is computed on
AT_ONCE = 8  # of them, for the sake of memory
SEEN = 16  # numbers of the outputs of an image; of more, as many random sums
TOGETHER = 512  # parameters that make up for each other
COARSEST = 8.0  # times the tolerance: what rounding alone would change, tried first
FINER = 0.5**0.25
MOST_TRIES = 40
LEAST_BITS = 1  # between the step and the largest number of a tensor
MOST_BITS = 14  # of fixed point in .lnx files
UNPROBED_BITS = 3  # between the step and the root mean square of a tensor

Read = Callable[[Any], Tensor | None]


def round_side_to_steps(
    model: nn.Module, images: Tensor, read: Read, tolerance: float
) -> None:
    """Round each norm and bias to multiples of its own step, in place.

    A step is a power of two. Steps are such that the numbers of any tensor move the
    outputs alike, for that costs the fewest bits, and the largest with which the RMS
    change of the outputs on the images, relative to their RMS, is within tolerance.
    `read` finds the outputs, (N, ...), in what the model returns; None if they are not
    one tensor. A network without such outputs or without derivatives keeps a number of
    mantissa bits instead.
    """

    @torch.no_grad()
    def outputs(network: nn.Module) -> Tensor | None:
        return read(network(images))

    chosen = _chosen(model)
    wanted = outputs(model)
    if wanted is None or not chosen:
        round_side(model, outputs, tolerance)
        return
    effects = _effects(model, chosen, images[:IMAGES], read)
    if effects is None:
        round_side(model, outputs, tolerance)
        return
    kept = {name: p.detach().double() for name, p in chosen.items()}
    size = float(wanted.double().square().mean().sqrt())
    allowed = COARSEST * tolerance * size * math.sqrt(12 / effects.shape[1])
    for _ in range(MOST_TRIES):
        _put(chosen, _rounded(kept, effects, allowed))
        if relative_change(outputs(model), wanted) <= tolerance:
            return
        allowed *= FINER


@torch.no_grad()
def round_side_unprobed(model: nn.Module) -> None:
    """Round each norm and bias to a step that fits its own size, in place."""
    for parameter in _chosen(model).values():
        size = float(parameter.double().square().mean().sqrt())
        step = 2.0 ** (math.frexp(size)[1] - 1 - UNPROBED_BITS)
        parameter.copy_(torch.round(parameter / step) * step + 0.0)


def _chosen(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the norms and biases that hold a number other than 0, all finite."""
    return {
        name: p
        for name, p in model.named_parameters()
        if p.dim() <= 1 and p.is_floating_point()
        if bool(p.any()) and bool(p.isfinite().all())
    }


@torch.no_grad()  # of all else; jacrev computes its own derivatives
def _effects(
    model: nn.Module, chosen: Mapping[str, Tensor], images: Tensor, read: Read
) -> Tensor | None:
    """Return J, (N * M, P); None for a network that it cannot be computed of.

    Rows are scaled so that the square of J d is the mean square change of the outputs.
    """

    def seen(parameters: dict[str, Tensor], image: Tensor) -> Tensor:
        found = read(functional_call(model, parameters, (image[None],)))
        if found is None:
            raise ValueError("the outputs are not one tensor")
        flat = found.flatten() / math.sqrt(found.numel() * len(images))
        return flat if len(flat) <= SEEN else flat @ _signs(len(flat)).to(flat)  # (M,)

    per_image = vmap(jacrev(seen), in_dims=(None, 0), chunk_size=AT_ONCE)
    try:
        parts = per_image({name: p.detach() for name, p in chosen.items()}, images)
    except (RuntimeError, ValueError, TypeError):
        return None
    found = [part.flatten(0, 1).flatten(1) for part in parts.values()]  # (N * M, ...)
    effects = torch.cat([p.reshape(len(p), -1) for p in found], 1).double()
    return effects if bool(effects.isfinite().all()) else None


def _signs(count: int) -> Tensor:
    """Return random signs over the root of SEEN, (count, SEEN): the same every time."""
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (count, SEEN), generator=generator) * 2.0 - 1.0
    return signs / math.sqrt(SEEN)


def _rounded(
    values: Mapping[str, Tensor], effects: Tensor, allowed: float
) -> list[Tensor]:
    """Return the values rounded to steps that move the outputs as far as is allowed."""
    sizes = [p.numel() for p in values.values()]
    squares = torch.split(effects.square().sum(0), sizes)
    moved = [float(part.mean().sqrt()) for part in squares]
    steps = torch.cat(
        [
            torch.full((p.numel(),), _step(p, effect, allowed), dtype=torch.float64)
            for p, effect in zip(values.values(), moved, strict=True)
        ]
    )  # (P,)
    wanted = torch.cat([p.flatten() for p in values.values()]) / steps
    multiples = []
    for start in range(0, len(wanted), TOGETHER):
        part = slice(start, start + TOGETHER)
        own = effects[:, part] * steps[part]
        factor = feedback_factor(own.T @ own)
        multiples.append(round_with_feedback(wanted[None, part], factor, 1.0)[0])
    return list(torch.split(torch.cat(multiples) * steps, sizes))


def _step(value: Tensor, moved: float, allowed: float) -> float:
    """Return the power of two that moves the outputs nearest to as far as allowed.

    `moved` is how far a step of 1 would move them. The step is at most half of the
    largest number of the tensor, and at least what files store.
    """
    _, top = math.frexp(float(value.abs().max()))
    coarsest = top - 1 - LEAST_BITS
    if not moved or not allowed:
        return 2.0**coarsest
    wanted = round(math.log2(allowed / moved))
    return 2.0 ** min(max(wanted, top - MOST_BITS), coarsest)


@torch.no_grad()
def _put(chosen: Mapping[str, nn.Parameter], values: list[Tensor]) -> None:
    for parameter, value in zip(chosen.values(), values, strict=True):
        parameter.copy_(value.reshape(parameter.shape) + 0.0)  # zeros have no sign
