"""Images from a function of the user's own.

Legend: B images in a batch, C channels, H x W pixels.
"""

import operator
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2.functional import pil_to_tensor

from lilnetx_cli.data.stream import Batch
from lilnetx_cli.errors import InputError, one_line, type_of, typed_reason
from lilnetx_cli.user_code import FAILURES, PROJECTS

# Kinds of PIL images whose numbers are not brightness, and one that holds the same.
CONVERTED = {"1": "L", "P": "RGB", "PA": "RGBA"}
CHANNELS = (1, 3, 4)


class PairImages(Dataset[Batch]):
    """Some samples of a map-style data set of (image, label) pairs.

    Augmentation is the data set's own affair. With processes that load data its random
    numbers depend on seed, epoch and process, so that a run that goes on at the start
    of an epoch sees the same images; within one, it may see others. `folder` is where
    the user's file stands, for what it imports as samples are read.
    """

    def __init__(
        self,
        pairs: Any,  # noqa: ANN401
        chosen: Sequence[int],
        classes: int,
        folder: str,
    ) -> None:
        self._pairs = pairs
        self._chosen = list(chosen)
        self._classes = classes
        self._folder = folder

    def __len__(self) -> int:
        return len(self._chosen)

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to a process that loads data, where the user's modules are to be found."""
        PROJECTS.enter(self._folder)
        pairs = pickle.dumps(self._pairs)
        return _arrive, (pairs, self._chosen, self._classes, self._folder)

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Do nothing: images do not depend on the epoch."""

    def __getitems__(self, indices: list[int]) -> Batch:
        """Return images (B, C, H, W) float32 and labels (B,) int64."""
        PROJECTS.enter(self._folder)
        pairs = [self.sample(index) for index in indices]
        shape = tuple(pairs[0][0].shape)
        for index, (image, _) in zip(indices, pairs, strict=True):
            if tuple(image.shape) != shape:
                raise InputError(
                    f"sample {self._chosen[index]} of the data set has shape"
                    f" {tuple(image.shape)}, sample {self._chosen[indices[0]]} has"
                    f" {shape}: give all images one size"
                )
        labels = torch.tensor([label for _, label in pairs])
        return torch.stack([image for image, _ in pairs]), labels

    def sample(self, index: int) -> tuple[Tensor, int]:
        """Return one pair; raises InputError where it is none."""
        number = self._chosen[index]
        where = f"sample {number} of the data set"
        try:
            found = self._pairs[number]
        except FAILURES as error:
            raise InputError(f"{where} fails: {typed_reason(error)}") from error
        try:
            image, label = found
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{where} is not an (image, label) pair: {type_of(found)}"
            ) from error
        return to_pixels(image, where), self._class(label, where)

    def _class(self, label: Any, where: str) -> int:  # noqa: ANN401
        try:
            number = operator.index(label)
        except TypeError:
            number = -1
        if not 0 <= number < self._classes:
            raise InputError(
                f"{where} has label {one_line(repr(label))}, expected a whole number"
                f" from 0 to {self._classes - 1}"
            )
        return number


def to_pixels(image: Any, where: str) -> Tensor:  # noqa: ANN401
    """Return an image as (C, H, W) float32; bytes become fractions 0..1.

    It may be a PIL image, a tensor (C, H, W) or (H, W), or an array, also (H, W, C)
    with 1, 3 or 4 channels. Raises InputError for anything else.
    """
    if isinstance(image, Image):
        mode = CONVERTED.get(image.mode, image.mode)
        pixels = pil_to_tensor(image if mode == image.mode else image.convert(mode))
    elif isinstance(image, np.ndarray) and image.dtype.kind in "buif":
        pixels = torch.from_numpy(np.array(_channels_first(image), order="C"))
    elif isinstance(image, Tensor) and not image.is_complex():
        pixels = image.detach().cpu()
    else:
        raise InputError(
            f"{where} has {type_of(image)} as its image, expected a PIL image, a numpy"
            " array or a tensor, (channels, height, width)"
        )
    if pixels.dim() == 2:
        pixels = pixels[None]  # (H, W) -> (1, H, W)
    if pixels.dim() != 3 or not pixels.numel():
        raise InputError(
            f"{where} has an image of shape {tuple(pixels.shape)}, expected (channels,"
            " height, width)"
        )
    if pixels.dtype not in (torch.uint8, torch.bool) and not pixels.is_floating_point():
        kind = str(pixels.dtype).removeprefix("torch.")
        raise InputError(
            f"{where} has an image of {kind}, of unknown range: expected uint8, which"
            " is scaled to 0..1, or floats"
        )
    floats: Tensor = pixels.float()
    if not bool(floats.isfinite().all()):
        raise InputError(f"{where} has NaN or infinity in its image")
    return floats / 255 if pixels.dtype == torch.uint8 else floats


def pairs_of(found: Any, name: str) -> tuple[Any, Any, int]:  # noqa: ANN401
    """Return train, test and the number of classes that a factory has returned.

    Both are sequences of (image, label) pairs. Raises InputError for anything else;
    `name` is that of the factory.
    """
    try:
        train, test, classes = found
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} returns {type_of(found)}, expected train and test samples and the"
            " number of classes"
        ) from error
    for samples in (train, test):
        if not hasattr(samples, "__len__") or not hasattr(samples, "__getitem__"):
            raise InputError(
                f"{name} returns samples in {type_of(samples)}, expected a sequence, or"
                " a map-style data set with a length"
            )
    sizes = len(train), len(test)
    if type(classes) is not int or classes < 2 or min(sizes) < 1:
        raise InputError(f"{name} returns {sizes} samples of {classes!r} classes")
    return train, test, classes


def _arrive(pairs: bytes, chosen: list[int], classes: int, folder: str) -> PairImages:
    PROJECTS.enter(folder)
    return PairImages(pickle.loads(pairs), chosen, classes, folder)  # noqa: S301


def _channels_first(array: Any) -> Any:  # noqa: ANN401
    last = array.ndim == 3 and array.shape[2] in CHANNELS
    return (
        array.transpose(2, 0, 1) if last and array.shape[0] not in CHANNELS else array
    )
