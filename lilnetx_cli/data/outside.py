"""Images from a function of the user's own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lilnetx_cli.data.stream import Batch
from lilnetx_cli.errors import InputError
from lilnetx_cli.user_code import call_factory, reason_of


class PairImages(Dataset[Batch]):
    """Some samples of a map-style data set of (image, label) pairs.

    Augmentation is the data set's own affair: its random numbers are not those of the
    run, so a run that is resumed may see other images.
    """

    def __init__(self, pairs: Any, chosen: Sequence[int]) -> None:  # noqa: ANN401
        self._pairs = pairs
        self._chosen = list(chosen)

    def __len__(self) -> int:
        return len(self._chosen)

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Do nothing: images do not depend on the epoch."""

    def __getitems__(self, indices: list[int]) -> Batch:
        """Return images (B, C, H, W) float32 and labels (B,) int64."""
        pairs = [self.sample(index) for index in indices]
        labels = torch.tensor([label for _, label in pairs])
        return torch.stack([image for image, _ in pairs]), labels

    def sample(self, index: int) -> tuple[Tensor, int]:
        """Return one pair; raises InputError where it is none."""
        try:
            image, label = self._pairs[self._chosen[index]]
            return torch.as_tensor(image, dtype=torch.float32), int(label)
        except Exception as error:
            raise InputError(
                f"sample {self._chosen[index]} of the data set is no pair of an image"
                f" and a label: {reason_of(error)}"
            ) from error


def open_pairs(name: str) -> tuple[Any, Any, int]:
    """Call path/file.py:factory: it returns train, test and the number of classes.

    Both are sequences of (image (C, H, W), label) pairs. Raises InputError for what is
    none, and what the factory's call raises.
    """
    found = call_factory(name, {})
    try:
        train, test, classes = found
        sizes = len(train), len(test)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} returns a {type(found).__name__}, expected train and test samples"
            " and the number of classes"
        ) from error
    if type(classes) is not int or classes < 2 or min(sizes) < 1:
        raise InputError(f"{name} returns {sizes} samples of {classes!r} classes")
    return train, test, classes
