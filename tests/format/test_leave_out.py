"""Numbers of rows that are all zero, left out of norms and biases."""

from dataclasses import replace

import numpy as np
import pytest

import lnx
from lnx.binary.source import Memory
from lnx.parts.prefix import read_head
from lnx.parts.records import FixedRecord
from lnx.tensors.classes import Scales
from tests.format.making import assert_equal, exact
from tests.format.test_cheap_scales import GRID, pruned

ROWS = GRID[0]


def layer(seed=0, **about):
    return lnx.Latent("conv.weight", (*GRID[:2], 3, 3), pruned(seed, **about), 0)


def norm(name, alive, scale=0.25):
    """Numbers of few bits, zero where nothing is alive."""
    values = (np.arange(len(alive)) % 29 - 9.5) * scale
    return exact(name, np.where(alive, values, 0).astype("<f4"), lnx.DType.F32)


def alive_of(latent):
    return latent.symbols.reshape(latent.shape[0], -1).any(axis=1)


def container_of(*tensors):
    return lnx.Container(tensors, (np.eye(9, dtype=np.float32),))


def followed(container):
    """Return how far back each fixed-point tensor follows, and what it leaves out."""
    records = read_head(Memory(lnx.dumps(container))).header.records
    return {r.name: (r.back, r.left_out) for r in records if isinstance(r, FixedRecord)}


def test_norms_of_dead_filters_are_left_out():
    conv = layer()
    alive = alive_of(conv)
    norms = [norm("n.weight", alive), norm("n.bias", alive, 0.125)]
    container = container_of(conv, *norms)
    dead = int((~alive).sum())
    assert dead == ROWS // 2
    assert followed(container) == {"n.weight": (1, dead), "n.bias": (2, dead)}
    assert_equal(lnx.loads(lnx.dumps(container)), container)


def test_leaving_out_makes_files_smaller(monkeypatch):
    conv = layer()
    alive = alive_of(conv)
    norms = [norm(f"n{i}.weight", alive) for i in range(8)]
    small = lnx.estimate(container_of(conv, *norms))
    monkeypatch.setattr("lnx.write.plan.followed", lambda _: {})
    large = lnx.estimate(container_of(conv, *norms))
    saved = 8 * ROWS / 8  # bytes: which of the rows are zero is a bit each
    assert large.fixed - small.fixed > 0.9 * saved
    assert small.file < large.file


@pytest.mark.parametrize(
    ("shape", "length"),
    [
        ((ROWS, 432), 9),
        ((ROWS, 144, 3), 9),
        ((ROWS, 48, 3, 3), 3),
        ((ROWS, 432), 1),
        ((ROWS, 432), 432),
        ((ROWS * 432,), 9),
    ],
)
def test_layers_of_any_shape_come_back(shape, length):
    """Rows that are not counted as zero ones cannot be followed."""
    symbols = pruned(0)
    alive = symbols.reshape(ROWS, -1).any(axis=1)
    one = lnx.Latent("fc.weight", shape, symbols.reshape(-1, length), 0)
    tensors = one, norm("fc.bias", alive), norm("n", np.ones(4, bool))
    container = lnx.Container(tensors, (np.eye(length, dtype=np.float32),))
    counted = shape[1:] in [(48, 3, 3), (432,)] and length in (1, 3)
    assert (followed(container)["fc.bias"] == (1, ROWS // 2)) == counted
    assert_equal(lnx.loads(lnx.dumps(container)), container)


@pytest.mark.parametrize("size", [0, 1])
def test_the_smallest_tensors_come_back(size):
    """Layers and norms of no channel, and of one that is dead."""
    none = lnx.Latent("w", (size, 5, 3, 3), np.zeros((size * 5, 9), np.int8), 0)
    vector = exact("b", np.zeros(size, "<f4"), lnx.DType.F32)
    container = container_of(layer(), none, vector)
    assert_equal(lnx.loads(lnx.dumps(container)), container)


@pytest.mark.parametrize("what", ["not zero", "minus zero", "another length"])
def test_what_is_not_zero_is_stored(what):
    conv = layer()
    numbers = norm("n.weight", alive_of(conv))
    values = numbers.data.view("<f4").copy()
    dead = np.flatnonzero(~alive_of(conv))
    if what == "another length":
        values = values[:-1]
    else:
        values[dead[3]] = 0.25 if what == "not zero" else -0.0
    container = container_of(conv, exact("n.weight", values, lnx.DType.F32))
    assert set(followed(container).values()) <= {(0, 0)}
    assert_equal(lnx.loads(lnx.dumps(container)), container)


@pytest.mark.parametrize(("own", "back"), [(0, 3), (1, 2), (2, -1)])
def test_the_layer_that_a_norm_belongs_to_is_found(own, back):
    """Behind it, too: sorted names have biases before weights."""
    layers = [replace(layer(i), name=f"conv{i}.weight") for i in range(3)]
    alive = alive_of(layers[own])
    other = lnx.Alias("other", "conv0.weight")
    container = container_of(*layers[:2], other, norm("n.bias", alive), layers[2])
    assert followed(container) == {"n.bias": (back, int((~alive).sum()))}
    assert_equal(lnx.loads(lnx.dumps(container)), container)


def test_norms_decide_whether_rows_are_marked():
    """What a mask says as well is worth more where norms can leave out rows."""
    conv = layer(alive=0.005)
    alive = alive_of(conv)
    names = [f"n{i}" for i in range(4)]
    alone = lnx.estimate(container_of(conv)).scales
    assert not alone
    container = container_of(conv, *(norm(name, alive) for name in names))
    assert set(followed(container)) == {*names}
    assert all(back for back, _ in followed(container).values())


def test_a_layer_that_lives_whole_leaves_out_nothing():
    conv = layer(share=0.0)
    container = container_of(conv, norm("n.weight", np.ones(ROWS, bool)))
    assert followed(container) == {"n.weight": (0, 0)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_norm_is_read_alone(tmp_path, jobs):
    conv = layer()
    numbers = norm("n.bias", alive_of(conv))
    path = tmp_path / "m.lnx"
    lnx.save(container_of(conv, norm("n.weight", alive_of(conv)), numbers), path)
    found = lnx.arrays(path, ["n.bias"], jobs=jobs)
    assert list(found) == ["n.bias"]
    np.testing.assert_array_equal(found["n.bias"], numbers.data.view("<f4"))


def test_rows_of_those_that_are_not_read_are_not_looked_up(tmp_path, monkeypatch):
    conv, path, looks = layer(), tmp_path / "m.lnx", []
    norms = [norm(f"n{i}", alive_of(conv)) for i in range(20)]
    lnx.save(container_of(conv, *norms), path)
    made = Scales.stored_rows.fget

    def look(scales):
        looks.append(scales)
        return made(scales)

    monkeypatch.setattr(Scales, "stored_rows", property(look))
    lnx.arrays(path, ["n1"])
    assert len(looks) == 1


def test_the_summary_counts_what_is_stored(tmp_path):
    conv = layer()
    alive = alive_of(conv)
    path = tmp_path / "m.lnx"
    lnx.save(container_of(conv, norm("a", alive), norm("b", np.ones(5, bool))), path)
    sizes = {t.name: t.bytes for t in lnx.summary(path).tensors}
    fixed = lnx.summary(path).sizes.fixed
    assert sizes["a"] + sizes["b"] == pytest.approx(fixed, abs=1)
    assert sizes["a"] / sizes["b"] == pytest.approx(alive.sum() / 5, rel=0.3)
