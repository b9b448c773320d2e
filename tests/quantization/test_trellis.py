"""The search against all paths."""

import itertools

import numpy as np
import pytest

from lilnetx_cli.quantization.trellis import choose_indices
from tests.format.test_trellis import walked


def total(path, values, classes, prices):
    errors = [(a - b) ** 2 for a, b in zip(values, walked(path), strict=True)]
    bits = [prices[c, abs(k)] for c, k in zip(classes, path, strict=True)]
    return sum(errors) + sum(bits)


def test_no_path_is_cheaper_than_the_one_found():
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(4, 9)) * 1.5).clip(-2.9, 2.9).astype(np.float32)
    classes = rng.integers(0, 2, values.shape).astype(np.uint8)
    prices = np.cumsum(rng.random((2, 9)) * 0.3, axis=1).astype(np.float32)
    found = choose_indices(values, classes, prices)
    for row, signs in enumerate(np.sign(values).astype(int)):
        case = (values[row], classes[row], prices)
        paths = itertools.product(*[(0, s, 2 * s) for s in signs.tolist()])
        least = min(total(path, *case) for path in paths)
        assert total(found[row].tolist(), *case) == pytest.approx(least, abs=1e-4)


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(1)
    values = rng.normal(size=(7, 64)).astype(np.float32) * 3
    classes = np.zeros(values.shape, np.uint8)
    prices = np.linspace(0, 1, 20, dtype=np.float32)[None]
    whole = choose_indices(values, classes, prices)
    monkeypatch.setattr("lilnetx_cli.quantization.trellis.BLOCK_CELLS", 128)
    np.testing.assert_array_equal(choose_indices(values, classes, prices), whole)
