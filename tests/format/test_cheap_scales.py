"""Scales of rows and columns: what is all zero costs next to nothing."""

import numpy as np
import pytest

import lnx
from lnx import spec
from lnx.write.cheap_scales import cheap_scales
from lnx.write.fit_scales import fit_scales
from tests.format.making import assert_equal

GRID = (64, 48, 9)
SLICES = GRID[0] * GRID[1]


def pruned(seed, grid=GRID, alive=0.2, share=0.5):
    """Few integers that are not zero, none of them in half of the rows and columns."""
    rng = np.random.default_rng(seed)
    symbols = rng.integers(1, 3, grid) * rng.choice((-1, 1), grid)
    symbols[rng.random(grid) > alive] = 0
    symbols[rng.permutation(grid[0])[: round(share * grid[0])]] = 0
    symbols[:, rng.permutation(grid[1])[: round(share * grid[1])]] = 0
    return symbols.astype(np.int8).reshape(-1, grid[2])


def container_of(many, grid=GRID, **about):
    side = int(grid[2] ** 0.5)
    shape = (grid[0], grid[1], side, side)
    return lnx.Container(
        tuple(
            lnx.Latent(f"layer{i}", shape, pruned(i, grid, **about), 0)
            for i in range(many)
        ),
        (np.eye(grid[2], dtype=np.float32),),
    )


def test_cells_of_dead_rows_and_columns_cost_nothing():
    symbols = pruned(0)
    scales = cheap_scales(symbols, GRID)
    used = symbols.reshape(GRID).any(axis=2)
    for levels, alive in (
        (scales.rows, used.any(axis=1)),
        (scales.columns, used.any(axis=0)),
    ):
        assert (levels[~alive] == spec.ZERO_SCALE).all()
        assert (levels[alive] > spec.ZERO_SCALE).all()
    classes = scales.classes(0, SLICES).reshape(GRID)
    assert not classes[~used.any(axis=1)].any()
    assert not classes[:, ~used.any(axis=0)].any()


def test_files_with_dead_rows_are_smaller_than_with_scales_of_cells_alone(monkeypatch):
    small = lnx.estimate(container_of(4, alive=0.05))
    monkeypatch.setattr("lnx.write.drafts.cheap_scales", fit_scales)
    large = lnx.estimate(container_of(4, alive=0.05))
    assert small.scales < 0.6 * large.scales
    assert small.file < 0.95 * large.file


def test_rows_that_hardly_differ_have_one_scale():
    """What finer ones would say of a few cells is chance."""
    symbols = pruned(0, (64, 48, 1), share=0.0)
    found = cheap_scales(symbols, (64, 48, 1))
    assert len(np.unique(fit_scales(symbols, (64, 48, 1)).rows)) > 3
    assert (found.rows == 0).mean() > 0.9
    assert (found.columns == 0).mean() > 0.9


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("grid", [GRID, (1, 200, 1), (200, 1, 1), (6, 40, 25)])
def test_files_come_back(grid, share):
    symbols = pruned(3, grid, share=share)
    levels = cheap_scales(symbols, grid).numbers().astype(int)
    assert levels.min() >= spec.ZERO_SCALE
    assert levels.max() < spec.LEAST_CLASS + spec.CLASSES
    assert_equal(
        lnx.loads(lnx.dumps(container_of(2, grid, share=share))),
        container_of(2, grid, share=share),
    )


@pytest.mark.parametrize("size", [1 << 20, (1 << 31) - 1, -(1 << 31)])
def test_the_largest_integers_have_scales(size):
    symbols = ((pruned(0) != 0) * size).astype(np.int32)
    top = spec.LEAST_CLASS + spec.CLASSES - 1
    assert (cheap_scales(symbols, GRID).places == top).all()
    one = lnx.Latent("a", (*GRID[:2], 3, 3), symbols, 0)
    container = lnx.Container((one,), (np.eye(9, dtype=np.float32),))
    assert_equal(lnx.loads(lnx.dumps(container)), container)
