"""Round the weights of a network layer after layer, with inputs at hand.

Each layer sees the inputs that the rounded layers before it make, and is rounded so
that its outputs stay those of the dense network. How finely follows from one number
for the whole network: the error that a weight may bring into the outputs of its layer,
as a share of their energy.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lilnetx_cli.calls import Call
from lilnetx_cli.compression.moments import (
    Moments,
    moments_of,
    order_of_use,
)
from lilnetx_cli.compression.norm_statistics import NormStatistics, norm_statistics
from lilnetx_cli.compression.uses import Part
from lilnetx_cli.quantization.feedback import (
    feedback_factor,
    round_with_feedback,
    shifted,
)

STAGES = 16  # passes over the inputs; the layers of one see the same rounded network
LARGEST_INDEX = 2.0**20
LEAST_STEP = float(np.finfo(np.float32).smallest_normal)  # weights may be smaller yet
SHORT = float(np.finfo(np.float16).smallest_normal), 2.0**15

Told = Callable[[int, int], object]  # layers done, and of how many


@dataclass(frozen=True, eq=False)
class Calibration:
    """A dense network, and what to round in it on which inputs.

    Attributes:
        network: in evaluation mode, on the device it runs on.
        names: of the weights, as in its state dict.
        calls: that the network is run on.
        norms: what batch norms see; nothing where they stay as they are.
        stages: groups of weights in the order of their use.
        sense: by weight, the share of the outputs' energy that a squared error of one
            in each weight would be, over the number of weights.
    """

    network: nn.Module
    names: tuple[str, ...]
    calls: tuple[Call, ...]
    norms: NormStatistics
    stages: tuple[tuple[str, ...], ...]
    ends: tuple[str | None, ...]
    sense: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class RoundedNetwork:
    """A network of rounded weights, their indices and their steps, by name."""

    network: nn.Module
    indices: Mapping[str, NDArray[np.int32]]
    steps: Mapping[str, float]


def study(
    network: nn.Module,
    names: Sequence[str],
    calls: Sequence[Call],
    *,
    recalibrate: bool = True,
    told: Told | None = None,
) -> Calibration:
    """Run a dense network over its inputs, and see how much each weight matters."""
    state = network.state_dict(keep_vars=True)
    weights = {name: state[name] for name in names}
    order = order_of_use(network, weights, calls[0])
    count = max(1, -(-len(order.names) // STAGES))
    stages = tuple(
        order.names[start : start + count]
        for start in range(0, len(order.names), count)
    )
    ends = tuple(
        None if order.repeated or at + 1 == len(stages) else stages[at + 1][0]
        for at in range(len(stages))
    )
    sense = {name: _plain_sense(weight) for name, weight in weights.items()}
    for at, (stage, end) in enumerate(zip(stages, ends, strict=True)):
        moments = moments_of(network, network, stage, calls, end)
        for name in stage:
            sense[name] = _sense(weights[name], _of(name, moments)) or sense[name]
        if told is not None:
            told(at + 1, len(stages))
    norms = norm_statistics(network, calls, on=recalibrate)
    unused = tuple(name for name in names if name not in order.names)
    if unused:
        stages, ends = (*stages, unused), (*ends, None)
    return Calibration(network, tuple(names), tuple(calls), norms, stages, ends, sense)


def step_for(calibration: Calibration, name: str, error: float) -> float:
    """Return the step of a weight whose share of error, per weight, is given."""
    weight = calibration.network.state_dict(keep_vars=True)[name].detach()
    step = (12 * error / calibration.sense[name]) ** 0.5
    step = max(step, float(weight.abs().max()) / LARGEST_INDEX, LEAST_STEP)
    short = SHORT[0] <= step <= SHORT[1]
    return float(np.float16(step)) if short else float(np.float32(step))


def round_plainly(calibration: Calibration, error: float) -> RoundedNetwork:
    """Round every weight by itself: about as many bits, in no time."""
    state = calibration.network.state_dict(keep_vars=True)
    steps = {name: step_for(calibration, name, error) for name in calibration.names}
    indices = {
        name: torch.round(state[name].detach().double() / step).int().cpu().numpy()
        for name, step in steps.items()
    }
    return RoundedNetwork(calibration.network, indices, steps)


@torch.no_grad()
def round_network(
    calibration: Calibration, error: float, told: Told | None = None
) -> RoundedNetwork:
    """Round layer after layer, and measure batch norms again at the end."""
    dense, rounded = calibration.network, copy.deepcopy(calibration.network)
    state = rounded.state_dict(keep_vars=True)
    steps = {name: step_for(calibration, name, error) for name in calibration.names}
    indices: dict[str, NDArray[np.int32]] = {}
    stages = list(zip(calibration.stages, calibration.ends, strict=True))
    for at, (stage, end) in enumerate(stages):
        moments = moments_of(
            dense,
            rounded,
            stage,
            calibration.calls,
            end,
            partial(calibration.norms.moved, rounded),
        )
        for name in stage:
            found = _rounded(state[name], _of(name, moments), steps[name])
            state[name].copy_(found.to(state[name].device).float() * steps[name])
            indices[name] = found.numpy()
        if told is not None:
            told(at + 1, len(stages))
    calibration.norms.settle(rounded)
    return RoundedNetwork(rounded, indices, steps)


def _rounded(weight: Tensor, moments: Mapping[Part, Moments], step: float) -> Tensor:
    """Return the indices of a weight, (O, K) int32 on the CPU in its own shape."""
    found = torch.round(weight.double() / step).int().cpu().reshape(len(weight), -1)
    for part, known in moments.items():
        matrices = part.matrices(weight).double().cpu()
        parts = [
            _feedback(matrix, own.cpu(), cross.cpu(), step)
            for matrix, own, cross in zip(matrices, known.own, known.cross, strict=True)
        ]
        found[part.start : part.stop] = part.rows(torch.stack(parts))
    return found.reshape(weight.shape)


def _feedback(matrix: Tensor, own: Tensor, cross: Tensor, step: float) -> Tensor:
    factor = feedback_factor(own)
    wanted = shifted(matrix, own.double(), cross.double(), factor)
    return round_with_feedback(wanted, factor, step)


def _of(name: str, moments: Mapping[Part, Moments]) -> dict[Part, Moments]:
    """Return the parts of a weight that have moments, none over another."""
    chosen: dict[Part, Moments] = {}
    for part, known in moments.items():
        apart = all(
            part.stop <= other.start or other.stop <= part.start for other in chosen
        )
        if part.name == name and apart:
            chosen[part] = known
    return chosen


def _sense(weight: Tensor, moments: Mapping[Part, Moments]) -> float | None:
    """Return the mean over parts; None where no part computes anything."""
    found, counts = [], []
    for part, known in moments.items():
        matrices, own = part.matrices(weight).double().cpu(), known.own.double().cpu()
        energy = float(((matrices @ own) * matrices).sum())
        if energy > 0:
            gains = [
                float((1 / feedback_factor(h).diagonal() ** 2).mean()) for h in own
            ]
            found.append(float(np.mean(gains)) / energy)
            counts.append(part.stop - part.start)
    return float(np.average(found, weights=counts)) if found else None


def _plain_sense(weight: Tensor) -> float:
    """Return the sense of a weight that was not seen at work: of its own energy."""
    return 1 / max(float(weight.detach().double().square().sum()), 1e-30)
