"""A trained network whose outputs a run also learns from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lilnetx_cli.errors import UsageError
from lilnetx_cli.models import rebuild
from lilnetx_cli.models.pruned import with_cuts
from lilnetx_cli.training.initial_weights import read_trained
from lilnetx_cli.user_code import is_factory


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
        if named is not None or not trusted:
            raise
        raise UsageError(
            f"the teacher {str(path)!r} is not of the network that is trained, and does"
            f" not say its own: add --set train.teacher_model=NAME ({error})"
        ) from error
    return network.eval().requires_grad_(False)


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
