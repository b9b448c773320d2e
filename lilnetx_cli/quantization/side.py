"""Side values -> multiples of powers of two: what one loses, others make up for.

The outputs of a network change by J d where its side values change by d. So these are
rounded in order, with error feedback, like a row of weights whose inputs have the
second moments J^T J. Where J cannot be computed, or is too large, each tensor is
rounded to the nearest multiples of a step that fits what it does to the outputs.

Legend: N examples, M numbers that are seen of the outputs of each, P side values.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lilnetx_cli.calls import Call
from lilnetx_cli.nn.side_rounding import MANTISSA_BITS, round_mantissa
from lilnetx_cli.quantization.effects import joint_effects, single_effect
from lilnetx_cli.quantization.feedback import feedback_factor, round_with_feedback
from lilnetx_cli.quantization.outputs import change_of, outputs_of
from lilnetx_cli.quantization.side_values import side_values

TOGETHER = 512  # numbers that make up for each other
AT_ONCE = 16  # times so many are rounded side by side
MOST_JOINT = 1 << 16  # numbers that J is computed for
COARSEST = 8.0  # times the tolerance: what rounding alone would change, tried first
FINER = 0.5**0.25
MOST_TRIES = 40
LEAST_BITS = 1  # between the step and the largest number of a tensor
MOST_BITS = 14  # of fixed point in .lnx files
UNPROBED_BITS = 3  # between the step and the root mean square of a tensor


@dataclass(frozen=True, eq=False)
class _Effects:
    """What the numbers of each tensor do to the outputs, relative to these.

    Attributes:
        moved: by one number that moves by 1, a mean over each tensor.
        joint: names of the tensors that J knows, in its order.
        moments: J^T J of neighbours that make up for each other, (B, K, K) each.
    """

    moved: dict[str, float]
    joint: tuple[str, ...] = ()
    moments: tuple[Tensor, ...] = ()


@torch.no_grad()
def round_side_to_steps(
    model: nn.Module,
    calls: Sequence[Call],
    tolerance: float,
    without: Collection[str] = (),
) -> None:
    """Round side values to multiples of a step of their tensor, in place.

    A step is a power of two. Steps are such that the numbers of any tensor move the
    outputs alike, for that costs the fewest bits, and the largest with which no float
    tensor of the outputs changes by more than the tolerance: RMS of the change over its
    RMS. Buffers that the outputs do not depend on stay. So do the names in `without`,
    and everything where no step is fine enough, as with a tolerance of 0. A network
    without float outputs keeps the mantissa bits of float16 instead.
    """
    chosen = side_values(model, without)
    wanted = outputs_of(model, calls)
    if not wanted:
        for value in chosen.values():
            value.copy_(round_mantissa(value, MANTISSA_BITS[-1]))
        return
    effects = _effects_of(model, chosen, calls, wanted)
    kept = {name: chosen[name].detach().double() for name in effects.moved}
    numbers = sum(value.numel() for value in kept.values())
    allowed = COARSEST * tolerance * math.sqrt(12 / max(1, numbers))
    for _ in range(MOST_TRIES if kept and allowed else 0):
        _put(chosen, _rounded(kept, effects, allowed))
        change = change_of(outputs_of(model, calls), wanted)
        if change <= tolerance:
            return
        allowed *= _finer(change, tolerance)
    _put(chosen, kept)


def _finer(change: float, tolerance: float) -> float:
    """Return what steps are multiplied by that change the outputs too much.

    Outputs change about as much as steps do: half of the way does not go too far.
    """
    if not math.isfinite(change):
        return FINER
    return FINER ** max(1, int(0.5 * math.log(tolerance / change, FINER)))


@torch.no_grad()
def round_side_unprobed(model: nn.Module, without: Collection[str] = ()) -> None:
    """Round side values to a step that fits the size of their tensor, in place."""
    for value in side_values(model, without).values():
        step = _own_step(value)
        value.copy_(torch.round(value / step) * step + 0.0)


def _effects_of(
    model: nn.Module,
    chosen: Mapping[str, Tensor],
    calls: Sequence[Call],
    wanted: Sequence[Tensor],
) -> _Effects:
    joint = _joint_part(chosen) if len(wanted) == len(calls) else {}
    matrix = joint_effects(model, joint, calls) if joint else None
    moved: dict[str, float] = {}
    if matrix is not None:
        size = float(wanted[0].double().square().mean().sqrt()) or 1.0
        squares = (matrix / size).square().sum(0)
        parts = torch.split(squares, [value.numel() for value in joint.values()])
        means = map(_mean_effect, joint.values(), parts)
        moved = dict(zip(joint, means, strict=True))
    first = outputs_of(model, calls[:1])
    for name, value in chosen.items():
        if name not in moved:
            moved[name] = single_effect(model, value, calls[:1], first)
    buffers = {name for name, _ in model.named_buffers()}
    kept = {name: moved[name] for name in chosen if moved[name] or name not in buffers}
    if matrix is None:
        return _Effects(kept)
    return _Effects(kept, tuple(joint), tuple(_moments(matrix)))


def _moments(effects: Tensor) -> Iterator[Tensor]:
    """Yield J^T J of numbers that are rounded together, (B, K, K) with B <= AT_ONCE."""
    blocks = torch.split(effects, TOGETHER, 1)
    even = [block for block in blocks if block.shape[1] == TOGETHER]
    for start in range(0, len(even), AT_ONCE):
        yield torch.stack([j.T @ j for j in even[start : start + AT_ONCE]])
    if len(even) < len(blocks):
        yield (blocks[-1].T @ blocks[-1])[None]


def _mean_effect(value: Tensor, squares: Tensor) -> float:
    """Return the RMS effect of a number of a tensor, given the squares, (P,).

    Of a matrix those count that have any: rows of others, such as positions that the
    inputs do not reach, are as fine as those that are seen.
    """
    if value.dim() > 1 and bool(squares.any()):
        squares = squares[squares > 0]
    return float(squares.mean().sqrt())


def _joint_part(chosen: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return parameters that J is computed for: the smallest, as many as fit."""
    learned = [n for n, value in chosen.items() if isinstance(value, nn.Parameter)]
    total, small = 0, set()
    for name in sorted(learned, key=lambda name: chosen[name].numel()):
        total += chosen[name].numel()
        if total <= MOST_JOINT:
            small.add(name)
    return {name: value for name, value in chosen.items() if name in small}


def _rounded(
    values: Mapping[str, Tensor], effects: _Effects, allowed: float
) -> dict[str, Tensor]:
    """Return the values rounded to steps that move the outputs as far as is allowed."""
    steps = {
        name: _step(value, effects.moved[name], allowed)
        for name, value in values.items()
    }
    found = {
        name: torch.round(value / steps[name]) * steps[name]
        for name, value in values.items()
        if name not in effects.joint
    }
    if effects.moments:
        joint = {name: values[name] for name in effects.joint}
        found |= _rounded_together(joint, steps, effects.moments)
    return found


def _rounded_together(
    values: Mapping[str, Tensor],
    steps: Mapping[str, float],
    moments: Sequence[Tensor],
) -> dict[str, Tensor]:
    """Return values rounded so that each makes up for what others lost."""
    spread = [torch.full((v.numel(),), steps[n]).double() for n, v in values.items()]
    every = torch.cat(spread)  # (P,)
    wanted = torch.cat([value.flatten() for value in values.values()]) / every
    multiples, start = [], 0
    for part in moments:
        count, size, _ = part.shape
        here = slice(start, start := start + count * size)
        step = every[here].view(count, size)
        factor = feedback_factor(step[:, :, None] * part * step[:, None])
        rows = wanted[here].view(count, 1, size)
        multiples.append(round_with_feedback(rows, factor, 1.0).flatten())
    sizes = [value.numel() for value in values.values()]
    parts = torch.split(torch.cat(multiples) * every, sizes)
    return dict(zip(values, parts, strict=True))


def _step(value: Tensor, moved: float, allowed: float) -> float:
    """Return the power of two that moves the outputs nearest to as far as allowed.

    `moved` is how far a step of 1 would move them. The step is at most half of the
    largest number of the tensor, and at least what files store. A matrix that outputs
    on the inputs do not depend on may matter on others: it has a step of its own size.
    """
    _, top = math.frexp(float(value.abs().max()))
    coarsest = top - 1 - LEAST_BITS
    if not moved and value.dim() > 1:
        return _own_step(value)
    if not moved:
        return float(2.0**coarsest)
    wanted = round(math.log2(allowed / moved)) if math.isfinite(moved) else -math.inf
    return float(2.0 ** min(max(wanted, top - MOST_BITS), coarsest))


def _own_step(value: Tensor) -> float:
    size = float(value.double().square().mean().sqrt())
    return float(2.0 ** (math.frexp(size)[1] - 1 - UNPROBED_BITS))


def _put(chosen: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        chosen[name].copy_(value.reshape(chosen[name].shape) + 0.0)  # no sign of zeros
