"""The course of a training loop of the user's own: what `train` keeps in a session."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import lnx
from lilnetx_cli.calls import Call, Caller
from lilnetx_cli.checkpoint import Checkpoint, pack
from lilnetx_cli.errors import InputError, UsageError, reason_of
from lilnetx_cli.graph.coupling import coupled_channels
from lilnetx_cli.nn import Start, latent_weights, reparameterize
from lilnetx_cli.nn.batch_norm import norms_with, unfold_batch_norms
from lilnetx_cli.nn.channel_prior import Channels
from lilnetx_cli.nn.equalizing import equalize_weights
from lilnetx_cli.nn.evaluating import evaluating
from lilnetx_cli.nn.gating import gate_dead_filters
from lilnetx_cli.nn.targets import Chosen
from lilnetx_cli.quantization.outputs import outputs_of
from lilnetx_cli.training.averaging import Average
from lilnetx_cli.training.finalize import finalize
from lilnetx_cli.training.groups import kinds_of
from lilnetx_cli.training.growing import Growth
from lilnetx_cli.training.initial_weights import FIRST_SPREAD, SPREAD
from lilnetx_cli.training.loop_checks import check_numbers, left_out
from lilnetx_cli.training.macs_control import MacsController
from lilnetx_cli.training.size_control import SizeController
from lilnetx_cli.training.steering_state import restore_steering, steering_state


class Known:
    """What the optimizers of a loop know of each parameter, as one optimizer has it."""

    def __init__(self) -> None:
        self.optimizers: list[torch.optim.Optimizer] = []

    @property
    def state(self) -> "Known":
        """What to ask with `get`."""
        return self

    def get(self, parameter: Tensor) -> dict[str, Any] | None:
        """Return what is known of a parameter, None before the first step."""
        for optimizer in self.optimizers:
            if parameter in optimizer.state:  # a look would make an entry
                return dict(optimizer.state[parameter])
        return None


@dataclass
class Course:
    """A network in training and what is known of its course, as `Steered` has it."""

    model: nn.Module
    weights: dict[str, float]
    steps: int
    spread: float
    growth: Growth | None
    controller: SizeController | None
    channels: Channels | None
    macs: MacsController | None
    optimizer: Known = field(default_factory=Known)
    average: Average | None = None
    step: int = 0

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of the penalty that were asked for."""
        return dict(self.weights)

    @property
    def goals(self) -> dict[str, Any]:
        """What a course and its state must agree on."""
        return {
            "steps": self.steps,
            "target_size": self.controller and self.controller.target,
            "a share of MACs or time": self.macs and self.macs.target,
            "latents": sum(x.numel() for _, _, x in latent_weights(self.model)),
        }

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from."""
        return {
            "goals": self.goals,
            "step": self.step,
            "steps": self.steps,
            **steering_state(self),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state; raises InputError for anything else."""
        try:
            numbers = int(state["step"]), int(state["steps"])
            _check_same(self.goals, state)
            restore_steering(self, state)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"this is not a Compressor state: {reason_of(error)}"
            ) from error
        self.step, self.steps = numbers


def _check_same(own: dict[str, Any], state: dict[str, Any]) -> None:
    """Raise ValueError for a state of a course with other goals."""
    for name, value in state.get("goals", own).items():
        if value != own.get(name):
            raise ValueError(
                f"it has {name} {value}, the Compressor {own.get(name)}: build it with"
                " the same arguments, for the same network"
            )


@dataclass(frozen=True)
class LoopSizes:
    """Bytes of the file of a network, with the records that it will hold."""

    calls: Sequence[Call]
    exact: tuple[str, ...]
    tolerance: float
    architecture: dict[str, Any] | None

    def estimate(self, model: nn.Module) -> int:
        """Return about how many bytes the file would have now, fast."""
        _, checkpoint = finalize(model, None, self.tolerance, self.exact)
        return lnx.estimate(pack(self.with_record(checkpoint))).file

    def nearly_exact(self, model: nn.Module) -> int:
        """Return how many bytes the file would have now, rounded on the first call."""
        first = [self.calls[0].to("cpu")]
        _, checkpoint = finalize(model, first, self.tolerance, self.exact)
        return len(lnx.dumps(pack(self.with_record(checkpoint))))

    def with_record(
        self, checkpoint: Checkpoint, training: dict[str, Any] | None = None
    ) -> Checkpoint:
        """Return a checkpoint with the records of its file."""
        return replace(checkpoint, architecture=self.architecture, training=training)


def begin(
    model: nn.Module,
    calls: Sequence[Call],
    *,
    start: Start,
    exclude: Chosen,
    include: Chosen,
    kept: Collection[str],
    weights: dict[str, float],
    steps: int,
    growing: float,
    size: int | None,
    macs: MacsController | None,
) -> Course:
    """Put latents into a network, in place, and plan the course of its training.

    The same as a run of `train` does, but that trained latents learn no faster while
    they are fine: the rates of a loop may be high. Batch norms with tensors in `kept`
    stay as they are. Raises UsageError, GraphError and InputError.
    """
    check_numbers(steps, size, growing)
    apart = left_out(model, exclude, include)
    if macs is not None and weights["channel_weight"]:
        raise UsageError(
            "target_macs and target_latency set channel_weight: leave it out"
        )
    calls = [call.to(next(model.parameters()).device) for call in calls]
    channels = None
    if macs is not None or weights["channel_weight"]:
        channels = coupled_channels(model, positional(calls[0]))
    norms = norms_with(model, kept)
    if start == "trained":
        unfold_batch_norms(Caller(model), calls, norms)
    try:
        outputs = partial(_flat_outputs, calls=calls[:1])
        equalize_weights(model, outputs, apart, norms)
        reparameterize(
            model, start=start, spread=FIRST_SPREAD, exclude=apart, include=include
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    growth = Growth(FIRST_SPREAD, SPREAD, growing, quick=start == "random")
    controller = None
    if size is not None:
        count = sum(latent.numel() for _, _, latent in latent_weights(model))
        watching = start == "trained" or channels is not None
        controller = SizeController(size, count, growing, watching)
    gate_dead_filters(model, calls[0].on, norms)
    return Course(
        model, weights, steps, FIRST_SPREAD, growth, controller, channels, macs
    )


def positional(call: Call) -> tuple[Any, ...]:
    """Return the arguments of a call; raises UsageError for named ones."""
    if call.kwargs:
        raise UsageError(
            "coupled channels are found with positional inputs alone: give them in a"
            " tensor or a tuple"
        )
    return call.args


def trains(optimizer: torch.optim.Optimizer, model: nn.Module) -> bool:
    """Tell whether an optimizer has latents of a network, and what came with them.

    Latents are the parameters that the weights were, so that one that was built before
    has these, but neither densities nor bases.
    """
    own = {id(p) for group in optimizer.param_groups for p in group["params"]}
    kinds = kinds_of(model)
    wanted = ([x for group in kinds.latents.values() for x in group], kinds.densities)
    return all(any(id(p) in own for p in kind) for kind in wanted)


def _flat_outputs(network: nn.Module, calls: Sequence[Call]) -> Tensor | None:
    with evaluating(network):
        found = outputs_of(network, calls)
    return torch.cat([x.flatten().float() for x in found]) if found else None
