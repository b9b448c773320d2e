"""A trained network whose outputs a run also learns from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lilnetx_cli.models import rebuild
from lilnetx_cli.models.pruned import with_cuts
from lilnetx_cli.training.initial_weights import read_trained
from lilnetx_cli.user_code import is_factory


def load_teacher(path: Path, own: Mapping[str, Any]) -> nn.Module:
    """Return the network of a file in evaluation mode, its parameters frozen.

    `own` is the architecture record of the run, which holds where the file has none, or
    names a function of the user's.
    Raises what reading the file raises, and UsageError where its tensors do not fit.
    """
    checkpoint = read_trained(path)
    record = checkpoint.architecture
    trusted = record is None or is_factory(str(record.get("name")))
    network = rebuild(
        with_cuts(own, record) if record is None or trusted else record,
        checkpoint.state_dict,
        str(path),
        trusted=trusted,
    )
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
