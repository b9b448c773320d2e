"""Numbers in fixed point, decoders of bytes, geometric tables: nothing is lost."""

import numpy as np
import pytest

import lnx
from lnx.coding.geometric import Geometric
from lnx.dtypes import DType
from lnx.parts.blocks import pack_decoders, unpack_decoders
from lnx.parts.prefix import read_frame
from lnx.spec import Kind
from lnx.tensors.fixed_point import from_fixed, to_fixed
from lnx.write.fit_geometric import fit_geometric
from lnx.write.make_table import make_table, table_price
from tests.format.making import exact


def data_of(*numbers):
    return np.array(numbers, "<f4").view(np.uint8)


@pytest.mark.parametrize(
    ("numbers", "exponent", "multiples"),
    [
        ((1.0, -0.5, 0.75, 0.0), -2, (4, -2, 3, 0)),
        ((3.0,), 0, (3,)),
        ((40.0, 24.0), 3, (5, 3)),
        ((0.0, 0.0), 0, (0, 0)),
        ((32767.0, -32767.0), 0, (32767, -32767)),
        ((2.0**-100, -(2.0**-99)), -100, (1, -2)),
        ((2.0**100, 3 * 2.0**100), 100, (1, 3)),
    ],
)
def test_multiples_of_a_power_of_two_are_found(numbers, exponent, multiples):
    data = data_of(*numbers)
    found = to_fixed(data)
    assert found is not None
    assert found[0] == exponent
    assert found[1].tolist() == list(multiples)
    assert np.array_equal(from_fixed(*found), data)


@pytest.mark.parametrize(
    "numbers",
    [
        (1.0, -0.0),
        (np.nan, 1.0),
        (np.inf,),
        (32768.0, 1.0),
        (2.0**-101,),
        (2.0**101,),
        (1e-40,),
        (1 / 3,),
        (1.0, 2.0**30),
    ],
)
def test_other_numbers_stay_floats(numbers):
    assert to_fixed(data_of(*numbers)) is None
    tensor = exact("x", np.array([*numbers, 1.0], "<f4"), DType.F32)
    again = lnx.loads(lnx.dumps(lnx.Container((tensor,))))
    np.testing.assert_array_equal(again["x"].data, tensor.data)


def test_a_rounded_norm_takes_a_symbol_for_each_number():
    numbers = np.tile(np.arange(-8, 8), 16) / 32
    tensor = exact("norm", numbers.astype("<f4"), DType.F32)
    data = lnx.dumps(lnx.Container((tensor,)))
    frame = read_frame(data)
    assert [record.kind for record in frame.header.records] == [Kind.FIXED]
    assert frame.sizes.fixed <= len(numbers) * 4 // 8 + 8
    np.testing.assert_array_equal(lnx.loads(data)["norm"].data, tensor.data)


def test_decoders_of_multiples_take_a_byte_for_each_entry():
    matrix = ((np.arange(81) * 37 % 255 - 127) * 0.0078125).astype(np.float32)
    block = pack_decoders([matrix.reshape(9, 9)])
    assert block.entry.plain == 3 + 4 + 81
    (found,) = unpack_decoders(block.entry, block.stored)
    np.testing.assert_array_equal(found, matrix.reshape(9, 9))


@pytest.mark.parametrize("bits", [10, 14, 16])
@pytest.mark.parametrize(
    "shape",
    [
        Geometric(-40, 81, 40, 90, 200, 190),
        Geometric(5, 1, 0, 0, 0, 0),
        Geometric(-1000, 1024, 0, 191, 255, 255),
        Geometric(0, 1024, 1023, 0, 0, 0),
        Geometric(-3, 7, 3, 191, 0, 255),
    ],
)
def test_geometric_frequencies_are_legal(shape, bits):
    found = shape.frequencies(bits)
    assert len(found) == shape.size
    assert int(found.min()) >= 1
    assert int(found.sum()) == 1 << bits


def test_geometric_frequencies_are_those_of_the_text():
    # weights 2^18, 2^19, 2^20, and of symbol 0: 8 * 2^(9 + 2) = 2^14
    found = Geometric(-3, 4, 2, 16, 128, 99).frequencies(10)
    total = 2**18 + 2**19 + 2**20 + 2**14
    floors = [1 + w * 1020 // total for w in (2**18, 2**19, 2**20, 2**14)]
    floors[2] += 1024 - sum(floors)
    assert found.tolist() == floors


def test_many_symbols_of_few_counts_get_a_geometric_table():
    values = np.arange(-40, 41)
    counts = (60 * 0.9 ** np.abs(values)).astype(np.int64) + 1
    table = make_table(values, counts)
    assert table.shape is not None
    assert table_price(table) >> 16 < 8 * 16
    ideal = -(counts * np.log2(counts / counts.sum())).sum()
    coded = int((counts * table.prices).sum()) / 2**16
    assert coded < 1.02 * ideal


def test_symbols_far_apart_have_no_geometric_table():
    assert fit_geometric(np.array([0, 1024]), np.array([1, 1])) is None
