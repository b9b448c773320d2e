"""Inputs to calibrate a finished network with, and labelled examples to judge it by.

All are on the CPU, where the network runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lilnetx_cli.calls import Call, Inputs, calls_of
from lilnetx_cli.data.registry import Splits, check_no_folder, load_splits, pair_splits
from lilnetx_cli.data.stream import Batch, EpochDataset, batches
from lilnetx_cli.errors import InputError, type_of
from lilnetx_cli.user_code import call_factory, is_factory

INPUTS = 512
FEWEST = 16
BATCH = 128
SEED = 0
MOST_LABELLED = 4096


@dataclass(frozen=True, eq=False)
class CalibrationData:
    """What a network is run on.

    Attributes:
        calls: of the network.
        labelled: other examples, with labels; None where there are none.
        splits: the data set that they are from, if it is one.
    """

    calls: tuple[Call, ...]
    labelled: EpochDataset | None
    splits: Splits | None


class Examples(Dataset[Batch]):
    """Inputs and their labels, held in memory."""

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        self._inputs = inputs
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels)

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Do nothing: nothing is augmented."""

    def __getitems__(self, indices: list[int]) -> Batch:
        """Return some inputs and labels."""
        return self._inputs[indices], self._labels[indices]


class Chosen(Dataset[Batch]):
    """Some examples of a data set."""

    def __init__(self, dataset: EpochDataset, chosen: Sequence[int]) -> None:
        self._dataset = dataset
        self._chosen = list(chosen)

    def __len__(self) -> int:
        return len(self._chosen)

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Do nothing: nothing is augmented."""

    def __getitems__(self, indices: list[int]) -> Batch:
        """Return some of the examples."""
        return self._dataset.__getitems__([self._chosen[i] for i in indices])


def load_calibration(name: str, folder: Path | None) -> CalibrationData:
    """Read a data set, or call path/file.py:function.

    A data set gives a few hundred training images without augmentation, and its
    validation split as labelled examples. The function returns inputs, or a pair of
    inputs and labels, of which the later half is for judging: a tensor, one input an
    element, or a list of batches, each a tensor, a tuple of arguments or a dict of
    named ones. It may also return what a data set's function does. Raises UsageError
    and InputError.
    """
    if not is_factory(name):
        return calibration_of(load_splits(name, folder))
    check_no_folder(name, folder)
    found = call_factory(name, {})
    if isinstance(found, tuple) and len(found) == 3 and isinstance(found[2], int):
        return calibration_of(pair_splits(found, name))
    if isinstance(found, tuple) and len(found) == 2:
        return CalibrationData(*half_labelled(found[0], found[1], name), None)
    if isinstance(found, Tensor):
        return CalibrationData(in_calls(found, name), None, None)
    if isinstance(found, list | Mapping) and found:
        return CalibrationData(checked_calls(found, name), None, None)
    raise InputError(
        f"{name} returns {type_of(found)}, expected inputs in one tensor, a list"
        " of batches, or a pair of inputs and labels"
    )


def in_calls(inputs: Tensor, name: str) -> tuple[Call, ...]:
    """Return calls with batches of about one size; raises InputError for too few."""
    _check_count(len(inputs) if inputs.dim() else 0, name)
    count = -(-len(inputs) // BATCH)
    return tuple(Call((part,)) for part in inputs.cpu().chunk(count))


def checked_calls(inputs: Inputs, name: str) -> tuple[Call, ...]:
    """Return the calls that inputs stand for; raises InputError for too few."""
    calls = calls_of(inputs)
    for call in calls:
        if call.first is None:
            raise InputError(f"{name} has a batch without a tensor of inputs")
    _check_count(sum(call.size for call in calls), name)
    return tuple(call.to("cpu") for call in calls)


def calibration_of(splits: Splits) -> CalibrationData:
    """Return some training images of a data set, and its validation split."""
    generator = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(splits.calibration), generator=generator)[:INPUTS]
    loader = batches(splits.calibration, BATCH, sampler=order.tolist())
    found = tuple(Call((images,)) for images, _ in loader)
    most = min(MOST_LABELLED, len(splits.validation))
    labelled = Chosen(splits.validation, range(most)) if most > 1 else None
    return CalibrationData(found, labelled, splits)


def half_labelled(
    inputs: Any,  # noqa: ANN401
    labels: Any,  # noqa: ANN401
    name: str,
) -> tuple[tuple[Call, ...], EpochDataset]:
    """Return one half of the inputs in batches, and the other one with its labels.

    Raises InputError for what is not a pair of inputs and labels.
    """
    fits = isinstance(inputs, Tensor) and isinstance(labels, Tensor)
    if not fits or labels.dim() != 1 or len(inputs) != len(labels):
        raise InputError(
            f"{name} gives {_size(inputs)} inputs and {_size(labels)} labels: expected"
            " two tensors of one length, labels (N,)"
        )
    if labels.is_floating_point() or labels.is_complex():
        kind = str(labels.dtype).removeprefix("torch.")
        raise InputError(f"{name} returns labels in {kind}, expected int64")
    half = len(inputs) // 2
    labelled = Examples(inputs[half:].cpu(), labels[half:].cpu().long())
    return in_calls(inputs[:half], name), labelled


def _size(found: Any) -> str:  # noqa: ANN401
    if isinstance(found, Tensor):
        return str(tuple(found.shape))
    return type_of(found)


def _check_count(count: int, name: str) -> None:
    if count < FEWEST:
        raise InputError(
            f"{name} gives {count} inputs to calibrate with, expected {FEWEST} or more;"
            " a few hundred are enough"
        )
