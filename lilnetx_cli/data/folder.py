"""Images in folders, one folder a class, decoded as they are needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import datasets
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms import v2

from lilnetx_cli.data.stream import Batch
from lilnetx_cli.errors import InputError, reason_of

SIZE = 224  # of images that are larger, or differ in size
LOOKED_AT = 64  # images
BITS = 258  # the tag of a TIFF that says how many a number has
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


class FolderImages(Dataset[Batch]):
    """Some samples of an image folder, each with random numbers of its own."""

    def __init__(
        self,
        folder: Any,  # noqa: ANN401
        chosen: Sequence[int],
        size: int,
        *,
        augment: bool,
    ) -> None:
        self._folder = folder
        self._chosen = list(chosen)
        self._transform = _transform(size, augment=augment)
        self._base = 0

    def __len__(self) -> int:
        return len(self._chosen)

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Choose where the random numbers of this epoch start."""
        self._base = (seed * 1_000_003 + epoch) * 100_000_007 % (1 << 62)

    def __getitems__(self, indices: list[int]) -> Batch:
        """Return normalized images and labels of some samples."""
        pairs = [self._sample(index) for index in indices]
        images = torch.stack([image for image, _ in pairs])
        return images, torch.tensor([label for _, label in pairs])

    def _sample(self, index: int) -> tuple[Tensor, int]:
        number = self._chosen[index]
        try:
            image, label = self._folder[number]
        except OSError as error:
            path = self._folder.samples[number][0]
            raise InputError(
                f"{path!r} is not a readable image: {reason_of(error)}"
            ) from error
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._base + number)
            return self._transform(image), label


def open_folder(path: Path) -> Any:  # noqa: ANN401
    """Return torchvision's view of a folder of classes; raises InputError."""
    classes = sorted(entry for entry in path.iterdir() if entry.is_dir())
    if not classes:
        raise InputError(
            f"{str(path)!r} holds no folders: expected one for each class, with its"
            " images in it"
        )
    try:
        return datasets.ImageFolder(str(path), loader=_read)
    except FileNotFoundError as error:
        empty = [repr(entry.name) for entry in classes if not _has_images(entry)]
        raise InputError(
            f"{str(path)!r} has a folder without images: {', '.join(empty[:4])};"
            f" their names end in one of {', '.join(IMG_EXTENSIONS)}"
        ) from error


def _read(path: str) -> Image.Image:
    """Read an image in 8-bit RGB; raises OSError, and InputError for other numbers."""
    with Image.open(path) as image:
        image.load()
        mode, form = image.mode, image.format
        if mode.startswith("I;16") or (mode == "I" and form in ("PNG", "PPM")):
            tags = getattr(image, "tag_v2", {})  # of a TIFF, with its bits
            peak = (1 << tags.get(BITS, (16,))[0]) - 1
            values = np.asarray(image).astype(np.uint32) * 255 // peak
            return Image.fromarray(values.astype(np.uint8)).convert("RGB")
        if mode in ("I", "F"):
            kind = "floats" if mode == "F" else "32-bit integers"
            raise InputError(
                f"{path!r} holds {kind}, expected 8 or 16 bits: convert it, since its"
                " range is unknown"
            )
        return image.convert("RGB")


def _has_images(folder: Path) -> bool:
    return any(path.suffix.lower() in IMG_EXTENSIONS for path in folder.rglob("*"))


def size_of(folder: Any) -> int:  # noqa: ANN401
    """Return the side of the images that networks get.

    That of the images, where they are square, of one size (some are looked at) and
    smaller than SIZE; otherwise SIZE.
    """
    every = max(1, len(folder.samples) // LOOKED_AT)
    sizes = set()
    for path, _ in folder.samples[::every]:
        try:
            with Image.open(path) as image:
                sizes.add(image.size)
        except OSError:
            continue  # it is named when it is read
    (width, height), *others = sizes or {(SIZE, SIZE)}
    return min(width, SIZE) if width == height and not others else SIZE


def _transform(size: int, *, augment: bool) -> Any:  # noqa: ANN401
    if size < SIZE:
        steps: list[Any] = [v2.Resize((size, size), antialias=True)]
        if augment:
            crop = v2.RandomCrop(size, padding=size // 8)
            steps += [crop, v2.RandomHorizontalFlip()]
    elif augment:
        steps = [v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()]
    else:
        steps = [v2.Resize(size * 8 // 7, antialias=True), v2.CenterCrop(size)]
    to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    return v2.Compose([*steps, *to_tensor, v2.Normalize(MEAN, DEVIATION)])
