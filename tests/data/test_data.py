import struct

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import cifar

from lilnetx_cli.data import DATASETS, EpochSampler, batches, load_splits
from lilnetx_cli.data.folder import _read
from lilnetx_cli.data.registry import SPLIT_SEED
from lilnetx_cli.errors import InputError, UsageError
from tests.data.making_data import make_cifar, make_folder, make_mnist, write_idx


def test_digits_are_split_as_told():
    splits = load_splits("digits", None)
    assert (splits.channels, splits.classes, splits.size) == (1, 10, 8)
    sizes = [len(part) for part in (splits.train, splits.validation, splits.test)]
    assert sizes == [1294, 144, 359]
    seen = [x.images.flatten(1) for x in (splits.train, splits.validation, splits.test)]
    rows = {tuple(row) for part in seen for row in part.tolist()}
    assert len(rows) == 1797
    images, labels = splits.test.__getitems__(list(range(359)))
    assert abs(float(images.mean())) < 0.1
    assert 0.9 < float(images.std()) < 1.1
    assert sorted(set(labels.tolist())) == list(range(10))


def test_validation_does_not_depend_on_the_run():
    one, other = load_splits("digits", None), load_splits("digits", None)
    assert torch.equal(one.validation.images, other.validation.images)
    assert SPLIT_SEED == 20_220_204


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_folders(tmp_path, suffix, name):
    make_mnist(tmp_path, suffix)
    splits = load_splits(name, tmp_path)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (
        110,
        10,
        30,
    )
    images, labels = splits.train.__getitems__([3, 1])
    assert images.shape == (2, 1, 28, 28)
    assert labels.dtype == torch.int64


@pytest.mark.parametrize("classes", [10, 100])
def test_cifar(tmp_path, monkeypatch, classes):
    # Generated files have other checksums than the real ones.
    monkeypatch.setattr(cifar, "check_integrity", lambda *_: True)
    make_cifar(tmp_path, classes)
    splits = load_splits(f"cifar{classes}", tmp_path)
    assert (splits.channels, splits.classes, splits.size) == (3, classes, 32)
    images, _ = splits.test.__getitems__([0])
    assert images.shape == (1, 3, 32, 32)


@pytest.mark.parametrize("parts", [("train", "val"), ("train", "test"), (".",)])
def test_image_folders(tmp_path, parts):
    make_folder(tmp_path, parts)
    splits = load_splits("folder", tmp_path)
    assert (splits.channels, splits.classes, splits.size) == (3, 2, 224)
    images, _ = splits.train.__getitems__([0, 1])
    assert images.shape == (2, 3, 224, 224)
    splits.train.begin_epoch(0, 1)
    first, _ = splits.train.__getitems__([0])
    again, _ = splits.train.__getitems__([0])
    splits.train.begin_epoch(0, 2)
    later, _ = splits.train.__getitems__([0])
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


@pytest.mark.parametrize(
    ("sizes", "size"),
    [
        ([(20, 20)], 20),
        ([(20, 20), (24, 24)], 224),
        ([(20, 30)], 224),
        ([(300, 300)], 224),
    ],
)
def test_square_images_of_one_size_keep_it(tmp_path, sizes, size):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(8):
            pixels = np.full((*sizes[number % len(sizes)], 3), 30 * number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    splits = load_splits("folder", tmp_path)
    assert splits.size == size
    assert f"images are {size}x{size}" in splits.note
    for part in (splits.train, splits.test):
        assert part.__getitems__([0])[0].shape == (1, 3, size, size)
    if size == 20:  # not resized: each image is of one number still
        image = splits.test.__getitems__([0])[0]
        assert torch.equal(image, image[..., :1, :1].expand_as(image))


def folder_of(tmp_path, arrays, suffix):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number, array in enumerate(arrays):
            Image.fromarray(array).save(tmp_path / label / f"{number}{suffix}")
    return load_splits("folder", tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_images_of_16_bits_are_those_of_8(tmp_path, suffix):
    grey = np.arange(400, dtype=np.uint16).reshape(20, 20) % 200
    (tmp_path / "long").mkdir()
    (tmp_path / "short").mkdir()
    long = folder_of(tmp_path / "long", [grey * 257] * 8, suffix)
    short = folder_of(tmp_path / "short", [grey.astype(np.uint8)] * 8, suffix)
    for index in range(len(long.test)):
        images = [part.test.__getitems__([index])[0] for part in (long, short)]
        assert torch.equal(*images)
        assert images[0].std() > 0.5


@pytest.mark.parametrize(
    ("kind", "words"),
    [(np.float32, "holds floats"), (np.int32, "holds 32-bit integers")],
)
def test_images_of_unknown_range_are_named(tmp_path, kind, words):
    splits = folder_of(tmp_path, [np.ones((20, 20), kind)] * 8, ".tif")
    with pytest.raises(InputError, match=rf"\.tif' {words}, expected 8 or 16 bits"):
        splits.test.__getitems__([0])


def test_augmentation_is_that_of_seed_and_epoch():
    train = load_splits("digits", None).train
    train.begin_epoch(3, 5)
    one, _ = train.__getitems__([0, 1, 2, 3])
    two, _ = train.__getitems__([3, 0])
    assert torch.equal(one[[3, 0]], two)
    train.begin_epoch(3, 6)
    other, _ = train.__getitems__([0, 1, 2, 3])
    assert not torch.equal(one, other)


def test_augmentation_shifts_and_mirrors():
    from lilnetx_cli.data.stream import ArrayImages, Augmentation

    images = torch.arange(1, 17, dtype=torch.uint8).reshape(1, 1, 4, 4)
    images = images.repeat(200, 1, 1, 1)
    labels = torch.zeros(200, dtype=torch.int64)
    how = Augmentation(shift=1, flip=True)
    data = ArrayImages(images, labels, (0.0,), (1.0,), 1.0, how)
    data.begin_epoch(0, 0)
    made, _ = data.__getitems__(list(range(200)))
    kinds = {tuple(image.flatten().tolist()) for image in made}
    assert len(kinds) == 18
    assert tuple(range(1, 17)) in kinds
    assert tuple(images[0, 0].flip(1).flatten().tolist()) in kinds


def test_sampler_continues_where_it_was():
    sampler = EpochSampler(50, seed=1)
    whole = list(sampler)
    assert sorted(whole) == list(range(50))
    sampler.set_position(0, 20)
    assert list(sampler) == whole[20:]
    assert len(sampler) == 30
    sampler.set_position(1, 0)
    assert list(sampler) != whole


def test_workers_give_the_same_batches():
    train = load_splits("digits", None).train
    train.begin_epoch(0, 0)
    alone = list(batches(train, 200))
    helped = list(batches(train, 200, workers=2))
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one[0], other[0])


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: (f / "t10k-labels-idx1-ubyte").unlink(), "has no t10k-labels"),
        (
            lambda f: (f / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03short"),
            "not an IDX file",
        ),
        (
            lambda f: (f / "train-images-idx3-ubyte").write_bytes(
                (f / "train-images-idx3-ubyte").read_bytes()[:-9]
            ),
            "copy it again",
        ),
        (
            lambda f: write_idx(f / "train-images-idx3-ubyte", np.zeros(40, np.uint8)),
            "1 dimensions",
        ),
        (
            lambda f: write_idx(f / "train-labels-idx1-ubyte", np.zeros(4, np.uint8)),
            "120 train images and 4 labels",
        ),
    ],
)
def test_damaged_idx_folders(tmp_path, break_it, message):
    make_mnist(tmp_path)
    break_it(tmp_path)
    with pytest.raises(InputError, match=message):
        load_splits("mnist", tmp_path)


def test_damaged_gzip(tmp_path):
    make_mnist(tmp_path, ".gz")
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged gzip"):
        load_splits("mnist", tmp_path)


def test_classes_that_do_not_fit_are_named(tmp_path):
    make_folder(tmp_path / "two", ("train", "val"))
    (tmp_path / "two" / "val" / "mouse").mkdir()
    pixels = np.zeros((8, 8), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "two" / "val" / "mouse" / "a.png")
    with pytest.raises(InputError, match="only one of them has 'mouse'"):
        load_splits("folder", tmp_path / "two")


def test_one_class_is_enough_to_calibrate_with(tmp_path):
    (tmp_path / "all").mkdir()
    for number in range(8):
        Image.new("L", (8, 8)).save(tmp_path / "all" / f"{number}.png")
    assert load_splits("folder", tmp_path).classes == 1


def tiff_of_12_bits(values):
    """Return the bytes of a TIFF, which Pillow reads and does not write."""
    height, width = values.shape
    bits = "".join(f"{value:012b}" for value in values.flatten().tolist())
    data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    tags = [(256, 3, width), (257, 3, height), (258, 3, 12), (259, 3, 1)]
    tags += [(262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, height)]
    tags += [(279, 4, len(data))]
    start = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, x) for tag, kind, x in tags)
    return start + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_images_of_12_bits_are_those_of_8(tmp_path):
    grey = np.arange(400).reshape(20, 20) % 200
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_of_12_bits(grey * 4095 // 255 + 1))
    found = np.asarray(_read(str(path)))[..., 0].astype(int)
    assert np.abs(found - grey).max() <= 1


def test_names_and_folders_that_are_not_there(tmp_path):
    with pytest.raises(UsageError, match="there are: digits"):
        load_splits("nothing", None)
    with pytest.raises(UsageError, match="did you mean 'imagenet'"):
        load_splits("imagenot", None)
    with pytest.raises(UsageError, match="is not a folder"):
        load_splits("mnist", tmp_path / "none")
    with pytest.raises(UsageError, match="needs --data-dir"):
        load_splits("folder", None)
    for name in ("cifar10", "cifar100", "mnist"):
        with pytest.raises(InputError, match="without --data-dir it is downloaded"):
            load_splits(name, tmp_path)
    with pytest.raises(InputError, match="one for each class"):
        load_splits("folder", tmp_path)
    assert "digits" in DATASETS


def test_an_image_that_is_none(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "train" / "cat" / "0.png").write_bytes(b"nothing")
    splits = load_splits("folder", tmp_path)

    def read_everything():
        for part in (splits.train, splits.validation):
            part.__getitems__(list(range(len(part))))

    with pytest.raises(InputError, match=r"0\.png"):
        read_everything()


@pytest.mark.parametrize("parts", [("train",), (".",), ("val",)])
def test_imagenet_needs_both_parts(tmp_path, parts):
    make_folder(tmp_path, parts)
    with pytest.raises(InputError, match="no folders train/ and val/"):
        load_splits("imagenet", tmp_path)


def test_imagenet_is_streamed_from_folders(tmp_path):
    make_folder(tmp_path)
    splits = load_splits("imagenet", tmp_path)
    assert (splits.channels, splits.classes, splits.size) == (3, 2, 224)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (19, 1, 20)
