"""Trellis, scale classes, cosine decoders and element types, through bytes and back."""

import numpy as np
import pytest

import lnx
from lnx.binary.source import Memory
from lnx.coding import range_coder
from lnx.errors import FormatError
from lnx.parts.chunks import ClassMap
from lnx.parts.prefix import read_head
from lnx.parts.records import ClassTables, LatentRecord
from lnx.parts.sections import Piece
from lnx.tensors.classes import Scales, grid_of
from lnx.tensors.cosine import cosine_matrix, cosine_numbers
from lnx.tensors.trellis import expand
from tests.format.making import assert_equal, exact


def uneven(rows, columns, length, seed=0):
    """Integers whose spread differs by row and column; (rows * columns, length)."""
    rng = np.random.default_rng(seed)
    spread = np.exp2(np.arange(rows) % 5)[:, None] * np.exp2(np.arange(columns) % 3)
    symbols = np.rint(rng.laplace(size=(rows, columns, length)) * spread[..., None] / 4)
    return symbols.astype(np.int16).reshape(-1, length)


def records_of(data):
    return read_head(Memory(data)).header.records


def classed_container(dtype=lnx.DType.F32):
    return lnx.Container(
        (
            lnx.Latent("a", (40, 24, 3), uneven(40, 24, 3), 0, True, dtype),
            lnx.Latent("b", (64, 50), uneven(64, 50, 1, seed=1), 1, True, dtype),
            lnx.Latent("c", (30, 20), uneven(30, 20, 1, seed=2), 1, False, dtype),
            exact("n", np.arange(5, dtype="<f4"), lnx.DType.F32),
        ),
        (np.eye(3, dtype=np.float32) / 8, np.full((1, 1), 0.125, np.float32)),
    )


def test_rows_of_unlike_spread_are_coded_by_class():
    data = lnx.dumps(classed_container())
    assert [r.classed for r in records_of(data) if isinstance(r, LatentRecord)] == [
        True, True, True,
    ]  # fmt: skip
    assert_equal(lnx.loads(data), classed_container())


def test_classes_make_files_smaller(monkeypatch):
    small = len(lnx.dumps(classed_container()))
    monkeypatch.setattr("lnx.write.drafts.LEAST_CLASSED", 1 << 40)
    large = len(lnx.dumps(classed_container()))
    assert small < 0.97 * large


def test_rows_of_one_spread_stay_planes():
    symbols = np.random.default_rng(0).integers(-2, 3, (900, 9)).astype(np.int8)
    one = lnx.Latent("a", (30, 30, 3, 3), symbols, 0)
    data = lnx.dumps(lnx.Container((one,), (np.eye(9, dtype=np.float32),)))
    (record,) = records_of(data)
    assert not record.classed


@pytest.mark.parametrize("shape", [(9000, 1), (1, 9000), (4500, 2)])
def test_no_cell_has_a_scale_of_its_own(shape):
    """Such scales say what the cells do, in the same bits and more time to decode."""
    rng = np.random.default_rng(0)
    spread = np.exp2(np.arange(shape[0]) % 5 if shape[1] == 2 else 0.5).reshape(-1, 1)
    symbols = np.rint(rng.laplace(size=shape) * spread).astype(np.int16)
    one = lnx.Latent("a", shape, symbols.reshape(-1, 1), 0)
    data = lnx.dumps(lnx.Container((one,), (np.eye(1, dtype=np.float32),)))
    (record,) = records_of(data)
    assert not record.classed


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("names", [None, ["b"], ["a", "n"]])
def test_tensors_decode_alone_and_in_processes(tmp_path, jobs, names):
    path = tmp_path / "m.lnx"
    lnx.save(classed_container(), path, jobs=jobs)
    found = lnx.arrays(path, names, jobs=jobs)
    whole = {t.name: t.array for t in lnx.rebuild_all(classed_container())}
    assert set(found) == set(names or whole)
    for name, array in found.items():
        np.testing.assert_array_equal(array, whole[name])


def test_numpy_alone_gives_the_same(monkeypatch):
    data = lnx.dumps(classed_container())
    monkeypatch.setattr(range_coder, "constriction_is_exact", lambda: False)
    assert lnx.dumps(classed_container()) == data
    assert_equal(lnx.loads(data), classed_container())


def test_the_estimate_is_near_the_file():
    sizes = lnx.estimate(classed_container())
    assert sizes.scales > 0
    assert abs(sizes.file - len(lnx.dumps(classed_container()))) < 40


def test_many_chunks_of_classes():
    symbols = uneven(400, 300, 3, seed=5)
    one = lnx.Latent("a", (400, 300, 3), symbols, 0, trellis=True)
    container = lnx.Container((one,), (np.full((1, 1), 1.0, np.float32),))
    assert_equal(lnx.loads(lnx.dumps(container)), container)


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [("F32", "<f4"), ("F64", "<f8"), ("F16", "<f2"), ("BF16", "<u2")],
)
def test_weights_come_in_their_own_type(dtype, kind):
    container = classed_container(lnx.DType[dtype])
    again = lnx.loads(lnx.dumps(container))
    array = lnx.rebuild(again["b"], again)
    assert array.dtype == np.dtype(kind)
    exact_values = expand(container["b"].symbols).reshape(64, 50) * np.float32(0.125)
    if dtype == "BF16":
        array = (array.astype("<u4") << 16).view("<f4")
    np.testing.assert_allclose(array, exact_values, rtol=2**-8)


def test_bfloat16_rounds_to_even():
    step = np.array([[1 + 2**-8]], np.float32)  # 1, 2, 3 times a half of the last bit
    symbols = np.array([[1], [2], [3], [-1]], np.int8)
    one = lnx.Latent("a", (4, 1), symbols, 0, dtype=lnx.DType.BF16)
    array = lnx.rebuild(one, (step,))
    values = (array.astype("<u4") << 16).view("<f4").ravel()
    # 1.00390625 is a tie, to 1; 2.0078125 a tie, to 2; 3.01171875 goes up
    assert values.tolist() == [1.0, 2.0, 3.015625, -1.0]


def test_float16_that_overflows_is_refused():
    one = lnx.Latent("a", (1, 1), np.array([[100]], np.int8), 0, dtype=lnx.DType.F16)
    with pytest.raises(FormatError, match="overflow F16"):
        lnx.rebuild(one, (np.full((1, 1), 1e4, np.float32),))


@pytest.mark.parametrize("size", [2, 3, 9, 64, 257])
def test_cosine_decoders_are_stored_short(size):
    angles = np.arange(size + 1) * (np.pi / (2 * size))
    numbers = np.concatenate(([0.7], np.cos(angles))).astype(np.float16)
    matrix = cosine_matrix(numbers.astype(np.float32))
    assert cosine_numbers(matrix) is not None
    container = lnx.Container((), (matrix,))
    again = lnx.loads(lnx.dumps(container))
    assert again.decoders[0].tobytes() == matrix.tobytes()
    sizes = lnx.estimate(container)
    assert sizes.decoders <= 2 * (size + 2) + 8


def test_a_matrix_that_is_no_cosine_stays_one():
    matrix = cosine_matrix(np.linspace(1, 0, 11).astype(np.float32))
    matrix[3, 4] += 1
    assert cosine_numbers(matrix) is None
    again = lnx.loads(lnx.dumps(lnx.Container((), (matrix,))))
    np.testing.assert_array_equal(again.decoders[0], matrix)


@pytest.mark.parametrize(
    ("shape", "length", "grid"),
    [
        ((4, 5), 1, (4, 5, 1)),
        ((4, 5, 3, 3), 9, (4, 5, 9)),
        ((4, 5, 3, 3), 1, (4, 45, 1)),
        ((7,), 1, (1, 7, 1)),
        ((0, 3), 1, (1, 0, 1)),
        ((4, 3), 6, (1, 2, 6)),
    ],
)
def test_grids(shape, length, grid):
    assert grid_of(shape, length) == grid


def test_a_class_without_a_table_is_an_error():
    zeros = [np.zeros(n, np.int8) for n in (2, 2, 1)]
    classes = ClassMap({"w": Scales(*zeros)}, ClassTables(0, (1,)))
    with pytest.raises(FormatError, match="'w' has a scale class without a table"):
        classes.table_ids("w", Piece(0, 0, 4))
