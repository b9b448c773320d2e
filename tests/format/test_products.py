"""Weights to the bit, by every way of adding them, and how much is added."""

import numpy as np
import pytest

from lnx.tensors import products
from lnx.tensors.products import decode_rows


def one_by_one(symbols, decoder):
    """The definition: a product and a sum at a time, from +0 on."""
    rows = symbols.astype(np.float32)
    total = np.zeros(symbols.shape, np.float32)
    for k in range(len(decoder)):
        total = total + rows[:, k : k + 1] * decoder[k]
    return total


def made(length, density, seed=0, count=100):
    rng = np.random.default_rng(seed)
    symbols = rng.integers(-9, 10, (count, length)).astype(np.int16)
    symbols[rng.random((count, length)) >= density] = 0
    symbols[::7] = 0
    decoder = rng.normal(size=(length, length)).astype(np.float32)
    decoder[rng.random((length, length)) < 0.1] = 0
    decoder[:, 0] = -np.abs(decoder[:, 0])  # where -0 would come from
    decoder[:, 1 % length] = -0.0
    return symbols, decoder


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 100, 1024])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.4, 0.6, 1.0])
def test_weights_are_the_same_to_the_bit(length, density):
    symbols, decoder = made(length, density)
    found = decode_rows(symbols, decoder)
    assert found.tobytes() == one_by_one(symbols, decoder).tobytes()
    assert not np.signbit(found[found == 0]).any()


@pytest.mark.parametrize("length", [1, 9, 64])
def test_a_scalar_gives_no_negative_zero(length):
    symbols = np.arange(-3, 3 * length - 3).reshape(-1, length).astype(np.int8)
    scalar = np.full((1, 1), -0.5, np.float32)
    found = decode_rows(symbols, scalar)
    expected = symbols.astype(np.float32) * np.float32(-0.5) + np.float32(0)
    assert found.tobytes() == expected.tobytes()
    assert not np.signbit(found[found == 0]).any()


def test_products_that_vanish_keep_the_sign_of_the_sum():
    """A product below the smallest float is -0, and so would be a sum of them."""
    tiny = np.full((40, 40), -1e-45, np.float32)
    tiny[0] = -0.0
    symbols = np.zeros((3, 40), np.int8)
    symbols[0, 0], symbols[1, :2], symbols[2] = 1, (1, 0), 1
    found = decode_rows(symbols, tiny)
    assert found.tobytes() == one_by_one(symbols, tiny).tobytes()


def test_slices_of_uneven_work():
    """One slice has every latent, the others have one or none."""
    symbols, decoder = made(512, 1.0, count=300)
    symbols[1:, 1:] = 0
    symbols[2::3] = 0
    found = decode_rows(symbols, decoder)
    assert found.tobytes() == one_by_one(symbols, decoder).tobytes()


def test_zero_latents_of_long_slices_cost_nothing(monkeypatch):
    """The work is that of the non-zero latents, not of all."""
    taken = 0
    take = np.take

    def counted(*arguments, **options):
        nonlocal taken
        found = take(*arguments, **options)
        taken += found.size
        return found

    symbols = np.zeros((1000, 512), np.int8)
    symbols[:, 3] = 1
    decoder = made(512, 1.0)[1]
    monkeypatch.setattr(products.np, "take", counted)
    found = decode_rows(symbols, decoder)
    np.testing.assert_array_equal(found, np.tile(decoder[3] + 0, (1000, 1)))
    assert taken == np.count_nonzero(symbols) * 512
