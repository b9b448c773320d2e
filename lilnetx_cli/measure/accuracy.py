"""Accuracy of a classifier on a data set.

Legend: B images in a batch, K classes.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lilnetx_cli.data import EpochDataset, batches, received
from lilnetx_cli.errors import InputError, type_of
from lilnetx_cli.nn.evaluating import evaluating
from lilnetx_cli.processes import ALONE, Processes

EVALUATION_BATCH = 256
TOP = 5


@dataclass(frozen=True)
class Accuracy:
    """Fractions of examples whose class is the first, or among the first five.

    `predictions` is a hash of the predicted classes in the order of the data set.
    """

    accuracy: float
    top5: float | None
    loss: float
    examples: int
    predictions: str


@dataclass(frozen=True)
class _Counted:
    """What one batch adds; `predicted` holds the classes as int32."""

    examples: int
    classes: int
    hits: int
    hits5: int
    loss: float
    predicted: bytes


def _nothing(count: int) -> None:
    """Ignore how many examples are done."""


@torch.no_grad()
def measure_accuracy(
    model: nn.Module,
    dataset: EpochDataset,
    *,
    batch_size: int = EVALUATION_BATCH,
    workers: int = 0,
    progress: Callable[[int], None] = _nothing,
    processes: Processes = ALONE,
) -> Accuracy:
    """Run a classifier in evaluation mode over a data set, in float32.

    Several processes share the batches, and each returns what one would find alone.
    """
    device = next(model.parameters()).device
    own = processes.own_share(range(len(dataset)), batch_size)
    loader = batches(dataset, batch_size, sampler=own, workers=workers)
    counted: list[_Counted] = []
    with evaluating(model):
        for images, labels in received(loader):
            scores = model(images.to(device))
            check_scores(scores, len(images), int(labels.max()) + 1)
            counted.append(_count(scores.float().cpu(), labels))
            progress(sum(batch.examples for batch in counted))
    return _summed(processes.in_turn(counted))


def check_scores(found: object, examples: int, classes: int) -> None:
    """Raise InputError for outputs that are not scores, a row for each example."""
    wanted = f"expected scores of shape ({examples}, {classes} or more)"
    wanted += f" for labels from 0 to {classes - 1}"
    if not isinstance(found, Tensor):
        raise InputError(f"the network returns {type_of(found)}, {wanted}")
    fits = found.dim() == 2 and len(found) == examples and found.shape[1] >= classes
    if not fits or not found.is_floating_point():
        shape, dtype = tuple(found.shape), str(found.dtype).removeprefix("torch.")
        raise InputError(f"the network returns {dtype} of shape {shape}, {wanted}")


def _count(logits: Tensor, labels: Tensor) -> _Counted:
    """Compare the outputs for a batch, (B, K), with its labels, (B,)."""
    classes = logits.shape[1]
    best = logits.topk(min(TOP, classes)).indices == labels[:, None]  # (B, 5)
    predicted = logits.argmax(1)
    return _Counted(
        examples=len(labels),
        classes=classes,
        hits=int((predicted == labels).sum()),
        hits5=int(best.any(1).sum()),
        loss=float(F.cross_entropy(logits, labels, reduction="sum")),
        predicted=predicted.to(torch.int32).numpy().tobytes(),
    )


def _summed(counted: list[_Counted]) -> Accuracy:
    examples = sum(batch.examples for batch in counted)
    predictions = hashlib.blake2b(digest_size=16)
    loss = 0.0
    for batch in counted:
        predictions.update(batch.predicted)
        loss += batch.loss
    several = counted[0].classes > TOP
    return Accuracy(
        accuracy=sum(batch.hits for batch in counted) / examples,
        top5=sum(batch.hits5 for batch in counted) / examples if several else None,
        loss=loss / examples,
        examples=examples,
        predictions=predictions.hexdigest(),
    )


def plain_tensor(output: object) -> Tensor | None:
    """Return a network's output if it is one float tensor."""
    fits = isinstance(output, Tensor) and output.is_floating_point()
    return output if isinstance(output, Tensor) and fits else None
