"""`lilnetx.compress`: a network in memory -> a file, as the verb does it."""

import os
from collections.abc import Mapping
from numbers import Real
from typing import Any

from torch import Tensor, nn

import lnx
from lilnetx_cli.calls import Inputs
from lilnetx_cli.checkpoint import Checkpoint, capture, pack, unpack
from lilnetx_cli.compression.goal import Goal
from lilnetx_cli.compression.held_out import HeldOut
from lilnetx_cli.compression.kept_latents import has_latents
from lilnetx_cli.compression.quantize import Calibration, quantize
from lilnetx_cli.compression.record import Quality, bases_of, record_of
from lilnetx_cli.data.calibration import checked_calls, half_labelled, in_calls
from lilnetx_cli.endings import check_lnx
from lilnetx_cli.errors import UsageError, type_of
from lilnetx_cli.models import rebuild

BOUNDS = {  # of a goal: least, most, unit
    "snr": (1, 120, "dB"),
    "bits_per_weight": (0.01, 32, "bits"),
    "target_size": (1, 2**62, "bytes"),
    "target_ratio": (1, 1e9, ""),
    "max_accuracy_drop": (0, 100, "points"),
}


def compress(
    model: nn.Module | Mapping[str, Tensor],
    path: str | os.PathLike[str],
    *,
    snr: float | None = None,
    bits_per_weight: float | None = None,
    target_size: int | None = None,
    target_ratio: float | None = None,
    max_accuracy_drop: float | None = None,
    lossless: bool = False,
    exact_side: bool = False,
    inputs: Inputs | None = None,
    labels: Tensor | None = None,
    recalibrate: bool = True,
    architecture: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a network to a .lnx file, as `lilnetx compress` does.

    At most one of `snr` (of the weights, in dB), `bits_per_weight`, `target_size` (in
    bytes), `target_ratio`, `max_accuracy_drop` (in points) and `lossless` says how
    large it is; with none of them a reparameterized network is kept to the bit, and
    weights of others are quantized to 40 dB, or, with inputs, as far as the outputs
    keep 25 dB.

    `inputs` are a few hundred inputs of the network: in one tensor, or in a list of
    batches, each a tensor, a tuple of arguments or a dict of named ones. `labels` (N,)
    belong to inputs in one tensor; then the later half of both judges accuracy.
    `architecture` is the record of `save`.

    `model` stays as it is. Returns what the verb's --json prints, except paths, times
    and memory. Raises UsageError for conflicting or unreachable goals, InputError,
    OSError.
    """
    _check_model(model)
    check_lnx(path, "compress")
    numbers = _goals(
        snr=snr,
        bits_per_weight=bits_per_weight,
        target_size=target_size,
        target_ratio=target_ratio,
        max_accuracy_drop=max_accuracy_drop,
    )
    _check(numbers, lossless=lossless, inputs=inputs, labels=labels)
    points = max_accuracy_drop
    drop = None if points is None else points / 100
    goal = Goal(snr, bits_per_weight, target_size, target_ratio, drop)
    if isinstance(model, nn.Module):
        checkpoint = capture(model, architecture=architecture)
    else:
        checkpoint = Checkpoint(model, architecture=architecture)
    container = pack(checkpoint)
    nothing = goal == Goal() and inputs is None
    if lossless or (nothing and has_latents(container)):
        return _written(container, Quality(None, lossless=True), path)
    network = _network(model, container)
    if inputs is None:
        found = quantize(container, goal, network, exact_side=exact_side)
        return _written(found.container, found.quality, path)
    if network is None:
        raise UsageError("a state dict cannot be run: give the model itself")
    calls, examples = _data(inputs, labels)
    judge = None if examples is None or goal.drop is None else HeldOut(examples)
    how = Calibration(calls, judge, recalibrate)
    found = quantize(container, goal, network, how, exact_side=exact_side)
    return _written(found.container, found.quality, path)


def _check_model(model: object) -> None:
    """Raise UsageError for anything but a network or a state dict."""
    if not isinstance(model, (nn.Module, Mapping)):
        raise UsageError(f"a network or a state dict is expected, not {type_of(model)}")


def _goals(**numbers: object) -> list[str]:
    """Return the names of the given numbers; raises UsageError for bad ones."""
    given = {name: value for name, value in numbers.items() if value is not None}
    for name, value in given.items():
        low, high, unit = BOUNDS[name]
        if not isinstance(value, Real):
            raise UsageError(f"{name} is {value!r}, expected a number")
        if not low <= float(value) <= high:  # NaN is out of bounds, too
            text = f"{name} is {float(value):g}, expected {low:g} to {high:g} {unit}"
            raise UsageError(text.rstrip())
    return list(given)


def _check(
    goals: list[str], *, lossless: bool, inputs: Inputs | None, labels: Tensor | None
) -> None:
    """Raise UsageError for wishes that conflict."""
    goals = [*goals, "lossless"] if lossless else goals
    if len(goals) > 1:
        raise UsageError(f"{goals[0]} and {goals[1]} cannot be combined: give one")
    if lossless and inputs is not None:
        raise UsageError("inputs and lossless cannot be combined: give one")
    if "max_accuracy_drop" in goals and labels is None:
        raise UsageError("max_accuracy_drop needs labels")
    if labels is not None and not isinstance(inputs, Tensor):
        raise UsageError("labels need inputs in one tensor")


def _network(
    model: nn.Module | Mapping[str, Tensor], container: lnx.Container
) -> nn.Module | None:
    """Return a plain copy of the network, in evaluation mode."""
    if isinstance(model, nn.Module):
        from lilnetx_cli.nn import materialize

        model = getattr(model, "_orig_mod", model)  # torch.compile wraps a network
        return materialize(model).cpu().eval()
    if container.architecture is None:
        return None
    state = unpack(lnx.rebuild_all(container), copied=True)
    return rebuild(container.architecture, state, "the state dict").eval()


def _data(inputs: Inputs, labels: Tensor | None) -> tuple[Any, Any]:
    if labels is not None and isinstance(inputs, Tensor):
        return half_labelled(inputs, labels, "the call")
    if isinstance(inputs, Tensor):
        return in_calls(inputs, "inputs"), None
    return checked_calls(inputs, "inputs"), None


def _written(
    container: lnx.Container, quality: Quality, path: str | os.PathLike[str]
) -> dict[str, Any]:
    written = lnx.save(container, path)
    return record_of(lnx.summary(path), written, bases_of(container), quality)
