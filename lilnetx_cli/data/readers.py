"""The images of sets that fit into memory, as they stand on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lilnetx_cli.data.idx import find_idx, read_idx
from lilnetx_cli.errors import InputError, reason_of

Arrays = tuple[Tensor, Tensor]  # images (N, C, H, W) uint8, labels (N,) int64


def _digits(name: str, folder: Path | None) -> tuple[Arrays, Arrays]:  # noqa: ARG001
    """Split in stored order: every fifth image tests (359), the others train (1,438).

    Writers are not told apart in this set, so some are in both parts.
    """
    path = Path(__file__).parent / "files" / "digits.npz"
    with np.load(path, allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    tests = np.arange(len(labels)) % 5 == 4
    return _arrays(images[~tests], labels[~tests]), _arrays(
        images[tests], labels[tests]
    )


def _mnist(name: str, folder: Path | None) -> tuple[Arrays, Arrays]:
    if folder is not None and find_idx(folder, "train-images-idx3-ubyte"):
        return _idx_pair(folder, "train"), _idx_pair(folder, "t10k")
    from torchvision import datasets

    reader = datasets.FashionMNIST if name == "fashion-mnist" else datasets.MNIST
    parts = _torchvision(reader, name, folder)
    return tuple((p.data[:, None].clone(), p.targets.long()) for p in parts)  # type: ignore[attr-defined, return-value]


def _idx_pair(folder: Path, part: str) -> Arrays:
    arrays = []
    for stem, dimensions in (("images-idx3", 3), ("labels-idx1", 1)):
        path = find_idx(folder, f"{part}-{stem}-ubyte")
        if path is None:
            raise InputError(f"{str(folder)!r} has no {part}-{stem}-ubyte[.gz]")
        arrays.append(read_idx(path, dimensions))
    images, labels = arrays
    if len(images) != len(labels) or not len(images):
        raise InputError(
            f"{str(folder)!r} has {len(images)} {part} images and {len(labels)} labels"
        )
    return _arrays(images[:, None], labels)


def _cifar(name: str, folder: Path | None) -> tuple[Arrays, Arrays]:
    from torchvision import datasets

    reader = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
    train, test = (
        _arrays(part.data.transpose(0, 3, 1, 2), np.array(part.targets))  # type: ignore[attr-defined]
        for part in _torchvision(reader, name, folder)
    )
    return train, test


def _torchvision(
    reader: Any,  # noqa: ANN401
    name: str,
    folder: Path | None,
) -> tuple[object, object]:
    """Open both parts, downloading them if --data-dir was not given."""
    root = folder or Path.home() / ".cache" / "lilnetx" / "data"
    try:
        train, test = (
            reader(str(root), train=train, download=folder is None)
            for train in (True, False)
        )
    except (RuntimeError, OSError) as error:
        if folder is None:
            raise InputError(
                f"data set {name!r} cannot be downloaded: {reason_of(error)}; give the"
                " folder that holds it with --data-dir"
            ) from error
        idx = f"train-images-idx3-ubyte and the other three, or {reader.__name__}/raw"
        files = getattr(reader, "base_folder", idx)
        raise InputError(
            f"{str(folder)!r} does not hold data set {name!r}, or not all of it:"
            f" expected {files} in it; without --data-dir it is downloaded"
        ) from error
    return train, test


def _arrays(images: NDArray[np.uint8], labels: NDArray[np.integer]) -> Arrays:
    pixels = torch.from_numpy(np.array(images, order="C"))
    return pixels, torch.from_numpy(labels.astype(np.int64))


READERS: dict[str, Callable[[str, Path | None], tuple[Arrays, Arrays]]] = {
    "digits": _digits,
    "fashion-mnist": _mnist,
    "mnist": _mnist,
    "cifar10": _cifar,
    "cifar100": _cifar,
}
