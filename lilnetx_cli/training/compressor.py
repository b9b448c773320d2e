"""The method in a training loop of the user's own: schedules, controllers, the end."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx_cli.calls import Inputs, calls_of
from lilnetx_cli.errors import UsageError
from lilnetx_cli.nn import Penalty, Start, penalty
from lilnetx_cli.nn.channel_prior import Channels
from lilnetx_cli.training.averaging import average_of
from lilnetx_cli.training.course import LoopSizes, begin, trains
from lilnetx_cli.training.finalize import SIDE_TOLERANCE
from lilnetx_cli.training.loop_channels import Chooser, macs_controller
from lilnetx_cli.training.loop_checks import (
    check_network,
    check_runs,
    check_tolerance,
    untouched,
)
from lilnetx_cli.training.macs_control import MacsController
from lilnetx_cli.training.own_loop import Finalized, end_course, tensors_named
from lilnetx_cli.training.rates import (
    groups_of,
    restore_rates,
    set_step_rates,
)
from lilnetx_cli.training.reach import check_share, check_size, end_growth
from lilnetx_cli.training.steering import (
    advance,
    keep_out,
    shipping_weights,
    weights_of,
)

FEW_STEPS = 0.9  # of those that were planned: finalize warns below
UNFOLLOWED = 2  # penalties without an optimizer: a warning is due
GROWTH = 0.4  # share of the steps over which quantization steps grow


class Compressor:
    """Steers a loop of one's own as `lilnetx train` steers its own.

    It swaps the weights of a network for latents, in place, whose quantization steps
    grow as the loop goes on; it finds the weights of the penalty that end at
    `target_size` bytes, and takes out channels until `target_macs` of the multiply-adds
    are left, or `target_latency` of the time. Five lines of a loop are new:

        compressor = lilnetx.Compressor(model, inputs, steps=3000, target_size=30_000)
        optimizer = torch.optim.Adam(compressor.parameter_groups(lr=1e-3))
        compressor.attach(optimizer)
        loss = loss + compressor.penalty().total  # at each step
        lilnetx.save(compressor.finalize(), "model.lnx")
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        *,
        steps: int,
        start: Start = "trained",
        target_size: int | None = None,
        target_macs: float | None = None,
        target_latency: float | None = None,
        round_channels: int = 1,
        rate_weight: float = 0.2,
        slice_weight: float = 0.3,
        channel_weight: float = 0.0,
        growth: float = GROWTH,
        ema: float | None = None,
        exclude: Iterable[str | type[nn.Module]] = (),
        include: Iterable[str | type[nn.Module]] = (),
        exact: Iterable[str] = (),
        tolerance: float = SIDE_TOLERANCE,
        architecture: Mapping[str, Any] | None = None,
    ) -> None:
        """Put latents into a network, in place.

        `inputs` are some that it is trained on, as `finalize` takes them; `steps` are
        those of the optimizer in the whole loop; `start`, `exclude`, `include` and the
        weights are those of `reparameterize` and `penalty`, `exact`, `tolerance` and
        `architecture` those of `finalize`. Quantization steps grow over the share
        `growth` of the steps. `target_latency` is a share of the time of a batch of 32
        in torch, on the device of the inputs; with `round_channels=8` layers keep
        multiples of 8. Both are for networks that take one tensor. With `ema=0.999` a
        moving average of the weights ships, of which a step keeps that share. Build
        optimizer and wrappers (DistributedDataParallel, torch.compile) after this.

        Raises UsageError for bad arguments, OutOfReach for a size or a share that the
        network cannot reach, GraphError if channels to remove cannot be found,
        InputError for inputs that the network does not take.
        """
        check_tolerance(tolerance)
        lists = {"exclude": exclude, "include": include, "exact": exact}
        check_network(model, lists)
        calls = calls_of(inputs)
        check_runs(model, calls[0])
        exclude = list(exclude)
        kept = (*tensors_named(model, exact), *untouched(model, exclude))
        record = None if architecture is None else dict(architecture)
        self._sizes = LoopSizes(calls, kept, tolerance, record)
        macs = macs_controller(target_macs, target_latency, round_channels)
        average = average_of(ema)
        self._chooser = Chooser.of(calls[0], macs, round_channels)
        self._course = begin(
            model,
            calls,
            start=start,
            exclude=exclude,
            include=list(include),
            kept=kept,
            weights={
                "rate_weight": rate_weight,
                "slice_weight": slice_weight,
                "channel_weight": channel_weight,
            },
            steps=steps,
            growing=growth,
            size=target_size,
            macs=macs,
        )
        self._course.average = average
        self._asked = 0  # penalties, while no optimizer was attached
        self._check_reach()
        advance(self._course, self._sizes, self._choose)

    @property
    def model(self) -> nn.Module:
        """The network, with latents in the place of weights."""
        return self._course.model

    @property
    def step(self) -> int:
        """Steps of the optimizer so far."""
        return self._course.step

    def estimated_bytes(self) -> int:
        """Return about how many bytes the file of the network would have now."""
        with shipping_weights(self._course):
            return self._sizes.estimate(self.model)

    def parameter_groups(
        self,
        lr: float,
        *,
        latent_lr: float = 0.02,
        decoder_lr: float = 0.005,
        density_lr: float = 0.01,
    ) -> list[dict[str, Any]]:
        """Return the parameters of the network with the rates that they learn at.

        `lr` is the rate of norms, biases and what else has no latents. The others are
        those of `lilnetx train`, for optimizers that divide by the size of gradients,
        as Adam does: latents move by `latent_lr` quantization steps. SGD (`attach`)
        takes `lr` for all, in units of the weights, and does not change the bases of
        the decoders. Weights decay only where they have no latents: elsewhere the
        penalty does that work.
        """
        return groups_of(self.model, lr, latent_lr, decoder_lr, density_lr)

    def attach(self, optimizer: Any) -> None:  # noqa: ANN401
        """Follow the steps of an optimizer: each is a step of the loop.

        One built from `parameter_groups` also has the rates of latents changed with
        their quantization steps; a schedule of its own goes on beside that. Several may
        be attached; the steps of the first count. Raises UsageError where that one was
        built too early: it has none of the latents and densities.
        """
        optimizer = getattr(optimizer, "optimizer", optimizer)  # others wrap them
        known = self._course.optimizer.optimizers
        if any(optimizer is other for other in known):
            return
        if not known and not trains(optimizer, self.model):
            raise UsageError(
                "the optimizer trains no latents: attach the one that does first, and"
                " build it after the Compressor, from compressor.parameter_groups() or"
                " model.parameters()"
            )
        known.append(optimizer)
        optimizer.register_step_pre_hook(self._before)
        optimizer.register_step_post_hook(self._after)

    def is_trained_by(self, optimizer: torch.optim.Optimizer) -> bool:
        """Tell whether an optimizer trains the latents and their densities."""
        return trains(optimizer, self.model)

    def penalty(self) -> Penalty:
        """Return the penalty at the present step: add its total to the task loss.

        Warns at the second call where no optimizer is attached by then.
        """
        course = self._course
        self._asked += not course.optimizer.optimizers
        if self._asked == UNFOLLOWED:
            warnings.warn(
                "no optimizer is followed: give it to compressor.attach before the"
                " loop, or the steps do not count and finalize refuses the network",
                stacklevel=2,
            )
        return penalty(course.model, channels=course.channels, **weights_of(course))

    def backward(self) -> Penalty:
        """Add the gradient of the penalty to the present one, in place of a loss.

        This is for the loops of other libraries. Call it once before each step of the
        optimizer, on gradients that are not scaled. What it draws at random depends on
        the step alone, so that several processes draw alike.
        """
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        if not parameters:
            return self.penalty()
        devices = sorted({p.device.index or 0 for p in parameters if p.is_cuda})
        with torch.enable_grad(), torch.random.fork_rng(devices):
            torch.default_generator.manual_seed(self.step)
            for device in devices:
                torch.cuda.default_generators[device].manual_seed(self.step)
            terms = self.penalty()
            found = torch.autograd.grad(terms.total, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, found, strict=True):
            if gradient is not None and parameter.grad is None:
                parameter.grad = gradient
            elif gradient is not None:
                parameter.grad += gradient
        return terms

    def finalize(self, *, training: Mapping[str, Any] | None = None) -> Finalized:
        """Return the network that ships, as `lilnetx.finalize`; this one trains on.

        With a target its file, records included, has at most that size, and at most
        that share of the multiply-adds is left. Raises OutOfReach where that cannot be,
        and UsageError before the first step; warns where many steps are missing.
        """
        self._check_steps()
        record = None if training is None else dict(training)
        with shipping_weights(self._course):
            return end_course(self._course, self._sizes, self._chooser, record)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` goes on from, beside those of the others."""
        return self._course.state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state. The network and the optimizer have their own."""
        self._course.restore(state)

    def _check_steps(self) -> None:
        step, steps = self.step, self._course.steps
        if not step:
            raise UsageError(
                "no step of an optimizer was followed: give the optimizer to"
                " compressor.attach before the loop"
            )
        if step < FEW_STEPS * steps:
            warnings.warn(
                f"finalize comes after {step:,} of {steps:,} steps: accuracy suffers",
                stacklevel=3,
            )

    def _check_reach(self) -> None:
        course = self._course
        if course.channels is not None and course.macs is not None:
            gauge = self._chooser.gauge
            check_share(course.model, course.channels, course.macs, gauge)
        if course.controller is not None:
            target, sizes = course.controller.target, self._sizes
            check_size(course, target, sizes.estimate, sizes.nearly_exact)
            end_growth(course, course.controller)

    def _choose(self, channels: Channels, macs: MacsController) -> Tensor:
        return self._chooser(self.model, channels, macs)

    def _before(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        set_step_rates(self._course, optimizer)

    def _after(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        """Give the rates back, and steer for the next step."""
        restore_rates(optimizer)
        course = self._course
        keep_out(course)
        if optimizer is course.optimizer.optimizers[0]:
            course.step += 1
            if course.average is not None:
                course.average.update(course.model)
            if course.step < course.steps:
                advance(course, self._sizes, self._choose)
