"""A trained network whose outputs a run also learns from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lilnetx_cli.config import RunConfig
from lilnetx_cli.errors import InputError, UsageError, refusing, type_of
from lilnetx_cli.models import FORM, describe, rebuild
from lilnetx_cli.models.filling import OTHER_NETWORK
from lilnetx_cli.models.pruned import with_cuts
from lilnetx_cli.nn.evaluating import evaluating
from lilnetx_cli.training.initial_weights import read_trained
from lilnetx_cli.user_code import is_factory

NAME = (
    "name its own with --set train.teacher_model=NAME, and its arguments with --set"
    " train.teacher_args.KEY=COUNT"
)


def teacher_of(
    config: RunConfig, model: nn.Module, own: Mapping[str, Any], images: Tensor
) -> nn.Module | None:
    """Return the teacher of a run beside its network, None where it has none.

    `own` is the record of the network, and `images` are two of the data set's form.
    Raises what `load_teacher` raises, UsageError for contrary settings, and InputError
    for a teacher whose outputs for the images are not like those of the network.
    """
    settings = config.train
    if settings.teacher_args and settings.teacher_model is None:
        raise UsageError(
            "train.teacher_args is set, but no network: add --set"
            " train.teacher_model=NAME"
        )
    if settings.teacher is None:
        if settings.teacher_model is not None:
            raise UsageError(
                "train.teacher_model is set, but no trained weights: add --teacher"
            )
        return None
    named = None
    if settings.teacher_model is not None:
        form = {key: own["args"][key] for key in FORM}
        named = describe(settings.teacher_model, {**form, **settings.teacher_args})
    teacher = load_teacher(settings.teacher, own, named).to(images.device)
    _check_outputs(teacher, model, images, str(settings.teacher))
    return teacher


def load_teacher(
    path: Path, own: Mapping[str, Any], named: Mapping[str, Any] | None = None
) -> nn.Module:
    """Return the network of a file in evaluation mode, its parameters frozen.

    `named` is the record of the network that the user names. Where there is none, the
    file says which it is; `own`, the record of the run, holds where it says nothing, or
    names a function of the user's.
    Raises what reading the file raises, and UsageError where its tensors do not fit.
    """
    checkpoint = read_trained(path)
    record = checkpoint.architecture
    trusted = named or record is None or is_factory(str(record.get("name")))
    used = with_cuts(named or own, record) if trusted or record is None else record
    try:
        network = rebuild(used, checkpoint.state_dict, str(path), trusted=bool(trusted))
    except UsageError as error:
        reason = str(error).removesuffix(f": {OTHER_NETWORK}")
        if reason == str(error):  # it says itself what to do
            raise
        raise UsageError(f"the teacher is another network: {reason}: {NAME}") from error
    return network.eval().requires_grad_(False)


@torch.no_grad()
def _check_outputs(
    teacher: nn.Module, model: nn.Module, images: Tensor, file: str
) -> None:
    """Raise InputError where outputs are not like those of the network."""
    with evaluating(model):
        own = model(images)
    form = tuple(images.shape[1:])
    with refusing(f"the teacher {file!r} does not take images of shape {form}"):
        found = teacher(images)
    if not isinstance(found, Tensor) or found.shape != own.shape:
        what = tuple(found.shape) if isinstance(found, Tensor) else type_of(found)
        raise InputError(
            f"the teacher {file!r} returns {what} for two images, expected"
            f" {tuple(own.shape)} as from the network"
        )


def divergence(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Return how far outputs, (N, classes), are from those of the teacher.

    The Kullback-Leibler divergence at a temperature, times its square, so that
    gradients keep their size. Source: Hinton et al. 2015, section 2.
    """
    own = F.log_softmax(logits / temperature, 1)
    others = F.log_softmax(taught / temperature, 1)
    mean = F.kl_div(own, others, log_target=True, reduction="batchmean")
    return mean * temperature**2


@torch.no_grad()
def taught_by(teacher: nn.Module, images: Tensor) -> Tensor:
    """Return the outputs of the teacher."""
    output: Tensor = teacher(images)
    return output.float()
