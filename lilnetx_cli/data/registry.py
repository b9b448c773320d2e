"""The data sets by name, and how each is split.

The validation split is held out of the training images by a permutation that depends
on the size alone, never on the seed of a run; the test images are those of the set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lilnetx_cli.data.folder import SIZE, FolderImages, open_folder, size_of
from lilnetx_cli.data.outside import PairImages, pairs_of
from lilnetx_cli.data.readers import READERS, Arrays
from lilnetx_cli.data.stream import ArrayImages, Augmentation, EpochDataset
from lilnetx_cli.errors import InputError, UsageError, suggestion
from lilnetx_cli.user_code import call_factory, check_factory, folder_of, is_factory
from lnx.errors import printable

PAIRS_HELD = 0.1
OTHERS = {"path/file.py:factory": "what your function returns"}
SPLIT_SEED = 20_220_204


@dataclass(frozen=True)
class DataInfo:
    """What is known of a data set before it is read.

    Attributes:
        title: one line for lists.
        mean: per channel, of pixels in 0..1.
        deviation: standard deviation per channel, of pixels in 0..1.
        augmentation: of the training images.
        validation: share of the training images that is held out.
        needs_folder: whether --data-dir must be given.
        built_in: whether it comes with the package.
    """

    title: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    augmentation: Augmentation
    validation: float = 1 / 12
    needs_folder: bool = False
    built_in: bool = False


@dataclass(frozen=True)
class Splits:
    """Three disjoint sets of images, and the form of one.

    Attributes:
        note: what was made of the images, for the user; empty where it is known.
    """

    train: EpochDataset
    calibration: EpochDataset
    validation: EpochDataset
    test: EpochDataset
    channels: int
    classes: int
    size: int
    note: str = ""


SHOWN = 4  # names in a message
_CIFAR_AUGMENTATION = Augmentation(shift=4, flip=True)
_CIFAR10 = DataInfo(
    "CIFAR-10: 60,000 color images 32x32, 10 classes",
    (0.4914, 0.4822, 0.4465),
    (0.2470, 0.2435, 0.2616),
    _CIFAR_AUGMENTATION,
    validation=0.1,
)

DATASETS: dict[str, DataInfo] = {
    "digits": DataInfo(
        "UCI handwritten digits: 1,797 images 8x8, 10 classes, in the package",
        (0.3055,),
        (0.3763,),
        Augmentation(shift=1),
        validation=0.1,
        built_in=True,
    ),
    "fashion-mnist": DataInfo(
        "Fashion-MNIST: 70,000 images 28x28, 10 classes",
        (0.2860,),
        (0.3530,),
        Augmentation(),  # garments point one way: mirror images cost a small network
    ),
    "mnist": DataInfo(
        "MNIST: 70,000 handwritten digits 28x28, 10 classes",
        (0.1307,),
        (0.3081,),
        Augmentation(shift=2),
    ),
    "cifar10": _CIFAR10,
    "cifar100": DataInfo(
        "CIFAR-100: 60,000 color images 32x32, 100 classes",
        (0.5071, 0.4865, 0.4409),
        (0.2673, 0.2564, 0.2762),
        _CIFAR_AUGMENTATION,
        validation=0.1,
    ),
    "imagenet": DataInfo(
        "ImageNet or the same layout: train/ and val/ with one folder per class",
        (),
        (),
        Augmentation(),
        validation=0.01,
        needs_folder=True,
    ),
    "folder": DataInfo(
        "a folder of class folders, or one with train/ and test/ or val/ in it",
        (),
        (),
        Augmentation(),
        validation=0.1,
        needs_folder=True,
    ),
}


def load_splits(name: str, folder: Path | None, *, augment: bool = True) -> Splits:
    """Read a data set; raises UsageError for a name, InputError for its files."""
    if is_factory(name):
        check_no_folder(name, folder)
        return pair_splits(call_factory(name, {}), name)
    if name not in DATASETS:
        check_factory(name)
        hint = suggestion(name, [*DATASETS, *OTHERS])
        raise UsageError(f"no data set is named {printable(name)}{hint}")
    info = DATASETS[name]
    if folder is not None and not folder.is_dir():
        raise UsageError(f"--data-dir {str(folder)!r} is not a folder")
    if info.built_in and folder is not None:
        raise UsageError(
            f"data set {name!r} comes with lilnetx: leave out --data-dir, or name"
            " another one with --dataset"
        )
    if info.needs_folder and folder is None:
        raise UsageError(f"data set {name!r} needs --data-dir")
    if info.needs_folder and folder is not None:
        whole = name == "imagenet"
        return _folder_splits(folder, info, augment=augment, whole=whole)
    train, test = READERS[name](name, folder)
    return _array_splits(train, test, info, name, augment=augment)


def _array_splits(
    train: Arrays, test: Arrays, info: DataInfo, name: str, *, augment: bool
) -> Splits:
    kept, held = _split(len(train[0]), info.validation)
    peak = 16.0 if name == "digits" else 255.0

    def images(part: Arrays, chosen: Tensor, how: Augmentation | None) -> ArrayImages:
        pixels, labels = part[0][chosen], part[1][chosen]
        return ArrayImages(pixels, labels, info.mean, info.deviation, peak, how)

    everything = torch.arange(len(test[0]))
    return Splits(
        train=images(train, kept, info.augmentation if augment else None),
        calibration=images(train, kept, None),
        validation=images(train, held, None),
        test=images(test, everything, None),
        channels=int(train[0].shape[1]),
        classes=int(max(train[1].max(), test[1].max())) + 1,
        size=int(train[0].shape[-1]),
    )


def _split(count: int, share: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    order = torch.randperm(count, generator=generator)
    held = max(1, round(count * share)) if count > 1 else 0
    return order[held:].sort().values, order[:held].sort().values


def _differing(one: Sequence[str], other: Sequence[str]) -> str:
    names = sorted(set(one) ^ set(other))
    more = ", ..." if len(names) > SHOWN else ""
    return ", ".join(map(printable, names[:SHOWN])) + more


def _folder_splits(
    folder: Path, info: DataInfo, *, augment: bool, whole: bool
) -> Splits:
    """Stream images from folders; whole sets have folders to train and to test."""
    named = {x.name: x for x in folder.iterdir() if x.is_dir()}
    if whole and not ("train" in named and {"val", "test"} & named.keys()):
        raise InputError(f"{str(folder)!r} has no folders train/ and val/")
    test_path = named.get("test") or named.get("val")
    train = open_folder(named.get("train", folder))
    count = len(train)
    if test_path is None:
        rest, tested = _split(count, info.validation)
        test, chosen = train, tested.tolist()
    else:
        test = open_folder(test_path)
        rest, chosen = torch.arange(count), list(range(len(test)))
        if test.classes != train.classes:
            raise InputError(
                f"{str(folder)!r} has different classes for test and train: only one of"
                f" them has {_differing(test.classes, train.classes)}"
            )
    if len(chosen) < 1 or len(rest) < 2:
        raise InputError(
            f"{str(folder)!r} has {count} images, too few to hold some out for"
            " validation and test"
        )
    kept, held = (rest[part].tolist() for part in _split(len(rest), info.validation))
    size = SIZE if whole else size_of(train)
    note = (
        f"images are {size}x{size}, with ImageNet's mean and deviation: for others"
        " write a function, --dataset path/file.py:function"
    )
    return Splits(
        train=FolderImages(train, kept, size, augment=augment),
        calibration=FolderImages(train, kept, size, augment=False),
        validation=FolderImages(train, held, size, augment=False),
        test=FolderImages(test, chosen, size, augment=False),
        channels=3,
        classes=len(train.classes),
        size=size,
        note="" if whole else note,
    )


def check_no_folder(name: str, folder: Path | None) -> None:
    """Raise UsageError for a folder beside a function, which finds its own data."""
    if folder is not None:
        raise UsageError(
            f"--data-dir has no effect on {name}, which finds its own data"
        )


def pair_splits(found: object, name: str) -> Splits:
    """Return the splits of what a factory has returned; raises InputError."""
    train, test, classes = pairs_of(found, name)
    kept, held = (part.tolist() for part in _split(len(train), PAIRS_HELD))
    folder = folder_of(name)
    images = PairImages(train, kept, classes, folder)
    shape = images.sample(0)[0].shape  # (C, H, W)
    return Splits(
        train=images,
        calibration=images,
        validation=PairImages(train, held, classes, folder),
        test=PairImages(test, range(len(test)), classes, folder),
        channels=int(shape[0]),
        classes=classes,
        size=int(shape[-1]),
    )
