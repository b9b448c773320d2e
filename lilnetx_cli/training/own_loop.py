"""What `train` does at the end of a run, for any network and any loop."""

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

import lnx
from lilnetx_cli.calls import Call, Caller, Inputs, calls_of, first_calls
from lilnetx_cli.checkpoint import Checkpoint, pack
from lilnetx_cli.errors import InputError, UsageError, reason_of, suggestion
from lilnetx_cli.nn.batch_norm import calibrate_batch_norms, norms_with
from lilnetx_cli.nn.latents import latent_weights
from lilnetx_cli.nn.side_rounding import with_short_decoders
from lilnetx_cli.nn.vanishing import spare_last
from lilnetx_cli.quantization.outputs import check_calls
from lilnetx_cli.training.course import Course, LoopSizes
from lilnetx_cli.training.finalize import SIDE_TOLERANCE
from lilnetx_cli.training.finalize import finalize as shipped
from lilnetx_cli.training.fit_size import effects_on_loss, fit_size
from lilnetx_cli.training.loop_channels import Chooser
from lilnetx_cli.training.loop_checks import check_tolerance
from lilnetx_cli.training.macs_control import take_out
from lilnetx_cli.training.reach import check_fits

BEHIND = re.compile(r"parametrizations\.([^.]+)\.original\d*$")  # a tensor's name
PROBED = 256  # examples on which outputs are compared


@dataclass(frozen=True, eq=False)
class Finalized:
    """The network that ships.

    Attributes:
        model: the plain network, on the CPU, in evaluation mode; what is loaded from
            the file computes the same to the bit.
        checkpoint: what `save` writes of it.
    """

    model: nn.Module
    checkpoint: Checkpoint


def finalize(
    model: nn.Module,
    inputs: Inputs,
    *,
    tolerance: float = SIDE_TOLERANCE,
    exact: Iterable[str] = (),
    architecture: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> Finalized:
    """Return the network that ships, made from one that may train on.

    Statistics of batch norms are measured again on the inputs and folded into scale and
    shift. Weights are decoded as every reader decodes them. All other floats are
    rounded to multiples of a power of two: norms, biases, positional embeddings, class
    tokens, measured buffers. No float tensor that the network returns for the inputs
    (tensors, sequences, mappings and dataclasses are looked into) changes by more than
    the tolerance: RMS of the change over its RMS.

    `inputs` are some of those that it was trained on, a few hundred: a tensor, a tuple
    of arguments or a mapping of named ones is one batch, a list holds several. Batch
    norms are measured on all of them, outputs compared on about the first 256.

    `exact` names tensors, or modules, that keep every bit. So do weights of layers that
    `reparameterize` was told to exclude, weights with a parametrization of their own,
    integers, and float buffers that the outputs do not depend on, or that look made and
    not learned: of at most 16 different numbers, or in strict order.

    `architecture` and `training` are the records of `save`. Raises UsageError for a
    network without latents and for names that it does not have, InputError for inputs
    that it does not take.
    """
    model = getattr(model, "_orig_mod", model)  # torch.compile wraps a network
    if not any(True for _ in latent_weights(model)):
        raise UsageError(
            "the network has no latents: reparameterize it before training, or compress"
            " a trained one with lilnetx.compress"
        )
    check_tolerance(tolerance)
    calls = calls_of(inputs)
    kept = tensors_named(model, exact)
    found = finalize_calls(model, calls, tolerance=tolerance, exact=kept)
    checkpoint = replace(found.checkpoint, architecture=architecture, training=training)
    return Finalized(found.model, checkpoint)


def finalize_calls(
    model: nn.Module, calls: Sequence[Call], *, tolerance: float, exact: Iterable[str]
) -> Finalized:
    """Calibrate and finalize a copy of a network on some calls."""
    copied = with_short_decoders(model).cpu().eval()
    calls = [call.to("cpu") for call in calls]
    check_calls(copied, calls[:1])
    try:
        apart = norms_with(copied, set(exact))
        calibrate_batch_norms(Caller(copied), calls, apart)
    except ValueError as error:
        raise InputError(
            f"batch norms cannot be measured on the inputs: {reason_of(error)}"
        ) from error
    network, checkpoint = shipped(
        copied, first_calls(calls, PROBED), tolerance, list(exact)
    )
    return Finalized(network, checkpoint)


def end_course(
    course: Course, sizes: LoopSizes, choose: Chooser, record: dict[str, Any] | None
) -> Finalized:
    """Return the network that ships at the end of a course, which may go on.

    It has at most the size and the share of the multiply-adds that were asked for;
    `record` is that of the training. Raises OutOfReach where that cannot be.
    """
    model = _without_gone(course, choose)

    def made(network: nn.Module) -> tuple[int, Finalized]:
        found = finalize_calls(
            network, sizes.calls, tolerance=sizes.tolerance, exact=sizes.exact
        )
        checkpoint = sizes.with_record(found.checkpoint, record)
        return len(lnx.dumps(pack(checkpoint))), Finalized(found.model, checkpoint)

    if course.controller is None:
        return made(model)[1]
    target = course.controller.target
    known = effects_on_loss(course.model, course.optimizer)
    effects = {name: effect.cpu() for name, effect in known.items()}
    size, final = fit_size(model, target, sizes.estimate, made, effects)
    check_fits(size, target)
    return final


def _without_gone(course: Course, choose: Chooser) -> nn.Module:
    """Return a copy of the network, on the CPU, without channels that are to go."""
    model = copy.deepcopy(course.model).cpu()
    spare_last(model)
    if course.channels is not None and course.macs is not None:
        gone = choose.finally_gone(model, course.channels, course.macs)
        take_out(model, course.channels, gone)
    return model


def tensors_named(model: nn.Module, names: Iterable[str]) -> list[str]:
    """Return the names of the tensors that names of tensors or modules stand for.

    Raises UsageError for one that there is not.
    """
    tensors = [BEHIND.sub(r"\1", name) for name in model.state_dict()]
    found: list[str] = []
    for name in names:
        inside = [x for x in tensors if x == name or x.startswith(f"{name}.")]
        if not inside:
            raise UsageError(f"no tensor is named {name!r}{suggestion(name, tensors)}")
        found += inside
    return found
