"""Bits and error of made weights: each part must pay where it should."""

import numpy as np
import pytest

from lilnetx_cli.quantization.bases import (
    choose_basis,
    choose_reflections,
    cosine_basis,
    fitted_basis,
)
from lilnetx_cli.quantization.cells import Weight, lay_out
from lilnetx_cli.quantization.rates import code_lengths, count_sizes, entropy_bits
from lilnetx_cli.quantization.rounding import round_cells
from lnx.tensors.classes import grid_of
from lnx.tensors.trellis import expand
from lnx.write.fit_scales import fit_scales


def laplacian(*shape, seed=0):
    return np.random.default_rng(seed).laplace(size=shape).astype(np.float32)


def plain(values, step):
    """Return SNR and entropy of rounding to the nearest multiple, one table."""
    indices = np.rint(values / step)
    error = ((values - indices * step) ** 2).mean()
    counts = np.unique(indices, return_counts=True)[1].astype(float)
    return 10 * np.log10((values**2).mean() / error), entropy_bits(counts[None])


@pytest.mark.parametrize("step", [1.5, 0.5, 0.1])
def test_the_trellis_is_better_than_plain_rounding(step):
    """At no more bits the error is lower, by 0.3 dB at least."""
    values = laplacian(512, 256)
    cells = lay_out([Weight("w", grid_of(values.shape, 1), values.reshape(-1, 1))])
    rounded = round_cells(cells, step * 0.55)
    snr, bits = plain(values, step)
    slope = 20 * np.log10(2) / values.size  # dB a bit, where steps are small
    gained = rounded.snr - snr + slope * (bits - rounded.bits)
    assert gained > 0.3


def test_snr_is_of_what_indices_stand_for():
    values = laplacian(300, 9)
    cells = lay_out([Weight("w", (30, 10, 9), values)])
    rounded = round_cells(cells, 0.2)
    (indices,) = cells.split(rounded.indices)
    error = values - expand(indices) * np.float32(0.2)
    snr = 10 * np.log10((values**2).sum() / (error**2).sum())
    assert rounded.snr == pytest.approx(snr, abs=1e-3)


def test_each_weight_starts_the_trellis_again():
    parts = [laplacian(50, 1, seed=s) for s in range(3)]
    both = lay_out([Weight(str(i), (50, 1, 1), v) for i, v in enumerate(parts)])
    assert both.starts == (0, 1, 2)
    again = both.split(both.segments.astype(np.int32))
    assert [len(x) for x in again] == [50, 50, 50]


def test_scales_find_rows_columns_and_places():
    rows = 2.0 ** np.repeat(np.arange(6), 64)
    columns = 4.0 ** np.repeat(np.arange(4), 64)
    sizes = np.einsum("o,i,l->oil", rows, columns, [1, 8, 64])
    scales = fit_scales(sizes.astype(np.int32).reshape(-1, 3), sizes.shape)
    assert np.diff(scales.rows[::64]).tolist() == [2] * 5
    assert np.diff(scales.columns[::64]).tolist() == [4] * 3
    assert np.diff(scales.places).tolist() == [6] * 2


def test_classes_pay_where_rows_differ():
    values = laplacian(64, 64) * np.exp2(np.arange(64) % 7)[:, None]
    symbols = np.rint(values).astype(np.int32).reshape(-1, 1)
    classes = fit_scales(symbols, (64, 64, 1)).classes(0, len(symbols))
    counts = count_sizes(symbols, classes, int(np.abs(symbols).max()))
    together = counts.sum(axis=0, keepdims=True)
    assert entropy_bits(counts) < 0.85 * entropy_bits(together)


def test_prices_are_finite_and_fall_with_counts():
    counts = np.zeros((40, 50))
    counts[3, :3] = 1000, 100, 10
    bits = code_lengths(counts)
    assert np.isfinite(bits).all()
    assert bits[3, 0] < bits[3, 1] < bits[3, 2] < bits[3, 40]


@pytest.mark.parametrize("taps", [2, 3, 9, 64, 256])
def test_the_cosine_basis_is_orthonormal(taps):
    matrix = cosine_basis(taps).matrix
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(taps), atol=1e-5)


def test_smooth_long_kernels_get_the_cosine_basis():
    time = np.arange(128) / 128
    tones = np.stack([np.cos(np.pi * f * time + f) for f in range(1, 65)])
    values = tones.astype(np.float32)
    assert choose_basis(values, (64, 1, 128), 0.01).name == "cosine"


def test_kernels_of_one_kind_get_a_fitted_basis():
    mixed = laplacian(4000, 9) * np.float32([8, 4, 2, 1, 0.5, 0.2, 0.1, 0.1, 0.1])
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(9, 9)))[0]
    values = (mixed @ turn).astype(np.float32)
    assert choose_basis(values, (200, 20, 9), 0.1).name == "fitted"
    basis = fitted_basis(values)
    np.testing.assert_allclose(basis.matrix @ basis.matrix.T, np.eye(9), atol=2e-3)


def test_directions_that_rows_share_are_reflected_away():
    shared = np.outer(laplacian(600, seed=1), laplacian(64, seed=2)) * 4
    values = (laplacian(600, 64) + shared).astype(np.float32)
    basis = choose_reflections(values, 0.1)
    energy = np.square(basis.analyze(values)).mean(axis=0)
    assert basis.name == "reflected"
    assert energy.max() > 20 * np.median(energy)
    np.testing.assert_allclose(energy.sum(), np.square(values).mean(0).sum(), rtol=1e-4)


def test_noise_is_not_reflected():
    assert choose_reflections(laplacian(600, 64), 0.1).name == "identity"


def test_noise_stays_as_it_is():
    assert choose_basis(laplacian(4000, 9), (200, 20, 9), 0.1).name == "identity"
