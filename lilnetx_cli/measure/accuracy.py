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
) -> Accuracy:
    """Run a classifier in evaluation mode over a data set, in float32."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    hits = hits5 = examples = classes = 0
    loss = 0.0
    predictions = hashlib.blake2b(digest_size=16)
    for images, labels in received(batches(dataset, batch_size, workers=workers)):
        logits = model(images.to(device)).float().cpu()  # (B, K)
        examples += len(labels)
        classes = logits.shape[1]
        best = logits.topk(min(TOP, classes)).indices == labels[:, None]  # (B, 5)
        predicted = logits.argmax(1)
        hits += int((predicted == labels).sum())
        hits5 += int(best.any(1).sum())
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        predictions.update(predicted.to(torch.int32).numpy().tobytes())
        progress(examples)
    model.train(was_training)
    return Accuracy(
        accuracy=hits / examples,
        top5=hits5 / examples if classes > TOP else None,
        loss=loss / examples,
        examples=examples,
        predictions=predictions.hexdigest(),
    )


def plain_tensor(output: object) -> Tensor | None:
    """Return a network's output if it is one float tensor."""
    fits = isinstance(output, Tensor) and output.is_floating_point()
    return output if isinstance(output, Tensor) and fits else None
