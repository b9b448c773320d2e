"""Data sets of the user's own: what their samples may be."""

import numpy as np
import pytest
import torch
from PIL import Image

from lilnetx_cli.data.outside import PairImages, to_pixels
from lilnetx_cli.errors import InputError

BYTES = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)  # (H, W, C)
FRACTIONS = torch.from_numpy(BYTES.transpose(2, 0, 1).copy()).float() / 255
FLOATS = BYTES.astype(np.float64)
GRAY = Image.fromarray(BYTES[:, :, 0])


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(BYTES), FRACTIONS),
        (BYTES, FRACTIONS),
        (BYTES.transpose(2, 0, 1), FRACTIONS),
        (BYTES[:, ::-1], FRACTIONS.flip(2)),
        (torch.from_numpy(BYTES.transpose(2, 0, 1).copy()), FRACTIONS),
        (FLOATS, 255 * FRACTIONS),
        (torch.from_numpy(FLOATS.transpose(2, 0, 1)), 255 * FRACTIONS),
        (FRACTIONS.half(), FRACTIONS.half().float()),
        (GRAY, FRACTIONS[:1]),
        (BYTES[:, :, 0], FRACTIONS[:1]),
        (FRACTIONS[0], FRACTIONS[:1]),
        (GRAY.convert("P"), FRACTIONS[:1].expand(3, -1, -1)),
        (GRAY.point(lambda x: x > 30, "1"), (FRACTIONS[:1] > 30 / 255).float()),
        (BYTES > 30, (FRACTIONS > 30 / 255).float()),
    ],
)
def test_images_in_any_usual_form(image, expected):
    pixels = to_pixels(image, "it")
    assert pixels.dtype == torch.float32
    assert torch.equal(pixels, expected)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (
            ("x.png", 0),
            "sample 0 of the data set has a str as its image, expected a PIL",
        ),
        ((None, 0), "None as its image"),
        ((np.array(["x"]), 0), "a numpy array of <U1 as its image"),
        ((torch.zeros(2, 2, dtype=torch.complex64), 0), "a Tensor as its image"),
        ((torch.ones(1, 4, 4, dtype=torch.int64), 0), "an image of int64, of unknown"),
        ((FLOATS * np.float32("nan"), 0), "has NaN or infinity in its image"),
        ((torch.zeros(2, 3, 4, 4), 0), r"an image of shape \(2, 3, 4, 4\), expected"),
        ((torch.zeros(3, 0, 4), 0), r"an image of shape \(3, 0, 4\), expected"),
        ((FRACTIONS, 3), "label 3, expected a whole number from 0 to 2"),
        ((FRACTIONS, -1), "label -1, expected"),
        ((FRACTIONS, 1.0), r"label 1\.0, expected"),
        ((FRACTIONS, "cat"), "label 'cat', expected"),
        ((FRACTIONS, torch.zeros(2)), "label tensor"),
        (FRACTIONS[:1], "not an \\(image, label\\) pair: a Tensor"),
        ((FRACTIONS, 0, 0), "not an \\(image, label\\) pair: a tuple of 3"),
        (7, "not an \\(image, label\\) pair: an int"),
    ],
)
def test_other_samples_are_named(pair, message):
    with pytest.raises(InputError, match=message):
        PairImages([pair], [0], 3, "/").sample(0)


@pytest.mark.parametrize("label", [1, True, np.int64(1), torch.tensor(1)])
def test_labels_are_any_whole_number(label):
    assert PairImages([(FRACTIONS, label)], [0], 3, "/").sample(0)[1] == 1


def test_images_of_two_sizes_are_told_apart():
    pairs = [(FRACTIONS, 0), (FRACTIONS, 0), (FRACTIONS[:, :3], 0)]
    images = PairImages(pairs, [1, 2], 2, "/")
    with pytest.raises(
        InputError, match=r"sample 2 .* \(3, 3, 5\), sample 1 .* one size"
    ):
        images.__getitems__([0, 1])


def test_an_error_of_the_data_set_is_named():
    def pairs(number):
        raise KeyError(number)

    class Broken:
        __getitem__ = staticmethod(pairs)

    with pytest.raises(InputError, match="sample 4 of the data set fails: KeyError: 4"):
        PairImages(Broken(), [4], 2, "/").sample(0)
