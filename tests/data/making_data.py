"""Small data sets in the forms that the real ones have on disk."""

import gzip
import pickle
import struct

import numpy as np
from PIL import Image


def write_idx(path, array):
    data = struct.pack(">HBB", 0, 8, array.ndim)
    data += struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def make_mnist(folder, suffix=""):
    rng = np.random.default_rng(0)
    for part, count in (("train", 120), ("t10k", 30)):
        images = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", labels)


def make_cifar(folder, classes):
    """The python version of CIFAR: pickled batches, as torchvision reads them."""
    rng = np.random.default_rng(0)
    home = "cifar-10-batches-py" if classes == 10 else "cifar-100-python"
    (folder / home).mkdir()
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for name in names if classes == 10 else ["train", "test"]:
        labels = [int(x) for x in rng.integers(0, classes, 20)]
        labels[0] = classes - 1
        key = "labels" if classes == 10 else "fine_labels"
        data = rng.integers(0, 256, (20, 3072)).astype(np.uint8)
        content = pickle.dumps({"data": data, key: labels})
        (folder / home / name).write_bytes(content)
    meta = "batches.meta" if classes == 10 else "meta"
    key = "label_names" if classes == 10 else "fine_label_names"
    names = pickle.dumps({key: [str(i) for i in range(classes)]})
    (folder / home / meta).write_bytes(names)


def make_folder(folder, parts=("train", "val")):
    rng = np.random.default_rng(0)
    for part in parts:
        for label in ("cat", "dog"):
            (folder / part / label).mkdir(parents=True)
            for number in range(10):
                pixels = rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / label / f"{number}.png")
