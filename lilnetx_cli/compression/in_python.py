"""`lilnetx.compress`: a network in memory -> a file, as the verb does it."""

import os
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from torch import Tensor, nn

import lnx
from lilnetx_cli.checkpoint import Checkpoint, capture, pack, unpack
from lilnetx_cli.compression.dense import dense_container
from lilnetx_cli.compression.finishing import folded
from lilnetx_cli.compression.goal import Goal, target_of_goal
from lilnetx_cli.compression.held_out import HeldOut
from lilnetx_cli.compression.kept_latents import has_latents, needs_no_loss, smaller
from lilnetx_cli.compression.lossy import compress_container
from lilnetx_cli.compression.record import Quality, bases_of, record_of
from lilnetx_cli.compression.with_inputs import compress_with_inputs
from lilnetx_cli.data.calibration import as_batches, half_labelled, in_batches
from lilnetx_cli.errors import UsageError
from lilnetx_cli.models import rebuild

BOUNDS = {  # of a goal: least, most, unit
    "snr": (1, 120, "dB"),
    "bits": (0.01, 32, "bits per weight"),
    "size": (1, 2**62, "bytes"),
    "ratio": (1, 1e9, "times smaller"),
    "drop": (0, 1, "of accuracy, as a fraction"),
}

Inputs = Tensor | Sequence[Tensor | tuple[Any, ...]]


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

    `inputs` are a few hundred inputs of the network, in one tensor or in batches, each
    a tensor or a tuple of arguments. `labels` (N,) belong to inputs in one tensor; then
    the later half of both judges accuracy. `architecture` is the record of `save`.

    `model` stays as it is. Returns what the verb's --json says, but for paths, times
    and memory. Raises UsageError for contrary wishes or what cannot be had, InputError,
    OSError.
    """
    _check_types(
        model,
        snr=snr,
        bits_per_weight=bits_per_weight,
        target_size=target_size,
        target_ratio=target_ratio,
        max_accuracy_drop=max_accuracy_drop,
    )
    goal = Goal(
        snr,
        bits_per_weight,
        target_size,
        target_ratio,
        None if max_accuracy_drop is None else max_accuracy_drop / 100,
    )
    _check(goal, lossless=lossless, inputs=inputs, labels=labels)
    if isinstance(model, nn.Module):
        checkpoint = capture(model, architecture=architecture)
    else:
        checkpoint = Checkpoint(model, architecture=architecture)
    container = pack(checkpoint)
    nothing = goal == Goal() and inputs is None
    if lossless or (nothing and has_latents(container)):
        return _written(container, Quality(None, lossless=True), path)
    trained, container = container, dense_container(container)
    size = target_of_goal(goal, container).size
    if size is not None and needs_no_loss(trained, size):
        return _written(trained, Quality(None, lossless=True), path)
    network = _network(model, container)
    if inputs is None:
        if network is not None and not exact_side:
            container = folded(container, network)
        target = target_of_goal(goal, container)
        found = compress_container(container, target, exact_side=exact_side)
        quality = Quality(found.snr, found.lossless)
        return _written(*smaller(trained, found.container, quality), path)
    if network is None:
        raise UsageError("a state dict computes nothing: give the model itself")
    batches, examples = _data(inputs, labels)
    made = compress_with_inputs(
        container,
        network,
        batches,
        target_of_goal(goal, container, with_inputs=True),
        recalibrate=recalibrate,
        exact_side=exact_side,
        judge=None if examples is None or goal.drop is None else HeldOut(examples),
    )
    lossy = made.lossy
    quality = Quality(lossy.snr, lossy.lossless, made.output_snr, made.accuracy)
    return _written(*smaller(trained, lossy.container, quality), path)


def _check_types(model: object, **numbers: object) -> None:
    """Raise UsageError for arguments of types that make no sense."""
    if not isinstance(model, (nn.Module, Mapping)):
        raise UsageError(
            f"a network or a state dict is expected, not a {type(model).__name__}"
        )
    for name, value in numbers.items():
        if value is not None and not isinstance(value, Real):
            raise UsageError(f"{name} is {value!r}, expected a number")


def _check(
    goal: Goal, *, lossless: bool, inputs: Inputs | None, labels: Tensor | None
) -> None:
    """Raise UsageError for wishes out of bounds, or that exclude each other."""
    wishes = {name: value for name, value in vars(goal).items() if value is not None}
    for name, value in wishes.items():
        low, high, unit = BOUNDS[name]
        if not low <= value <= high:  # NaN is out of bounds, too
            raise UsageError(f"{value:g} {unit}: expected {low:g} to {high:g}")
    if len(wishes) + lossless > 1:
        raise UsageError("more than one goal is given: expected one of them")
    if lossless and inputs is not None:
        raise UsageError("inputs and lossless exclude each other: give one of them")
    if goal.drop is not None and labels is None:
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
    state = unpack(lnx.rebuild_all(container))
    return rebuild(container.architecture, state, "the state dict").eval()


def _data(inputs: Inputs, labels: Tensor | None) -> tuple[Any, Any]:
    if labels is not None and isinstance(inputs, Tensor):
        return half_labelled(inputs, labels, "the call")
    if isinstance(inputs, Tensor):
        return in_batches(inputs, "inputs"), None
    return as_batches(inputs, "inputs"), None


def _written(
    container: lnx.Container, quality: Quality, path: str | os.PathLike[str]
) -> dict[str, Any]:
    written = lnx.save(container, path)
    return record_of(lnx.summary(path), written, bases_of(container), quality)
