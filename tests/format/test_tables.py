import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnx import FormatError, spec
from lnx.binary.wire import Reader, Writer, zigzag
from lnx.coding.tables import PRICE_BITS, Table, log2_fixed, read_table, write_table
from lnx.write.make_table import make_table, quantize_counts
from lnx.write.share_tables import (
    MOST_CLUSTERS,
    Histogram,
    histogram,
    share_tables,
)

COUNTS = st.lists(st.integers(1, 1 << 40), min_size=1, max_size=300)


@given(COUNTS, st.integers(10, 16))
def test_frequencies_sum_to_a_power_of_two(counts, bits):
    frequencies = quantize_counts(np.array(counts, np.int64), bits)
    assert int(frequencies.sum()) == 1 << bits
    assert int(frequencies.min()) >= 1


def test_prices_are_those_of_the_exact_logarithm():
    numbers = np.arange(1, 1 << 16)
    exact = np.log2(numbers) * (1 << PRICE_BITS)
    assert np.abs(log2_fixed(numbers) - exact).max() <= 1.01


@given(COUNTS)
def test_tables_come_back(counts):
    values = np.cumsum(np.array(counts, np.int64) % 7 + 1) - 50
    table = make_table(values, np.array(counts, np.int64))
    writer = Writer()
    write_table(writer, table)
    again = read_table(Reader(writer.getvalue()))
    np.testing.assert_array_equal(again.values, table.values)
    np.testing.assert_array_equal(again.frequencies, table.frequencies)
    assert again.bits == table.bits


def test_quantized_table_loses_less_than_a_thousandth():
    rng = np.random.default_rng(0)
    symbols = np.rint(rng.laplace(size=200_000) * 20).astype(np.int32)
    plane = histogram(symbols)
    table = make_table(plane.values, plane.counts)
    bits = int((plane.counts * table.prices).sum()) / (1 << PRICE_BITS)
    shares = plane.counts / plane.counts.sum()
    ideal = -float((plane.counts * np.log2(shares)).sum())
    assert bits <= 1.001 * ideal


def _table_bytes(bits=12, count=2, first=0, gaps=(0,), frequencies=(99,)):
    writer = Writer()
    writer.varints([bits, count, zigzag(first), *gaps, *frequencies])
    return writer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_table_bytes(bits=9), "at least 10"),
        (_table_bytes(bits=33), "at most 32"),
        (_table_bytes(count=0), "at least 1"),
        (_table_bytes(count=5000), "at most 4096"),
        (_table_bytes(frequencies=(4095,)), "do not sum to 4096"),
        (_table_bytes(frequencies=(1 << 20,)), "frequency is"),
        (_table_bytes(first=(1 << 31) - 1), "outside of 32 bits"),
        (_table_bytes(count=3, gaps=(1 << 31, 1 << 31)), "outside of 32 bits"),
        (_table_bytes()[:-1], "are left|announced"),
    ],
)
def test_bad_tables_are_refused(data, message):
    with pytest.raises(FormatError, match=message):
        read_table(Reader(data))


def test_planes_of_one_kind_share_a_table():
    rng = np.random.default_rng(1)
    narrow = [np.rint(rng.normal(size=5000) * 0.5).astype(np.int32) for _ in range(6)]
    wide = [np.rint(rng.normal(size=5000) * 6).astype(np.int32) for _ in range(6)]
    planes = [histogram(x) for x in [*narrow, *wide]]
    tables, ids = share_tables(planes, first_id=3)
    assert len(set(ids[:6])) == 1
    assert set(ids[:6]).isdisjoint(ids[6:])
    assert min(ids) >= 3
    assert max(ids) < 3 + len(tables)


def test_noise_is_stored_as_it_is():
    rng = np.random.default_rng(2)
    noise = [histogram(rng.integers(0, 256, 4000).astype(np.int32)) for _ in range(3)]
    tables, ids = share_tables(noise, first_id=1, raw_price=8)
    assert ids == [spec.RAW_TABLE] * 3
    assert not tables


@pytest.mark.parametrize(("rarest", "raw"), [(0.5, True), (0.2, False)])
def test_bytes_are_coded_where_that_saves_a_hundredth(rarest, raw):
    """Counts fall evenly, as those of mantissas do: 0.3 % and 1.4 % are to be saved."""
    counts = np.linspace(100_000, 100_000 * rarest, 256).astype(np.int64)
    _, ids = share_tables([Histogram(np.arange(256), counts)], first_id=1, raw_price=8)
    assert (ids == [spec.RAW_TABLE]) == raw


def test_sparse_symbols_are_found_by_search():
    table = Table(np.array([-1000, 3, 70_000]), np.array([1, 1, (1 << 10) - 2]), 10)
    found = table.indices(np.array([3, 70_000, -1000], np.int32))
    assert found.tolist() == [1, 2, 0]


def test_information_content_is_that_of_the_table():
    table = make_table(np.array([0, 1]), np.array([3, 1]))
    price = int((np.array([3, 1]) * table.prices).sum()) / (1 << PRICE_BITS)
    assert math.isclose(price, 3 * math.log2(4 / 3) + 2, rel_tol=1e-3)


def test_tables_together_keep_their_limit():
    rng = np.random.default_rng(0)
    planes = []
    for number in range(8):
        values = np.arange(1000) * 8 + number
        planes.append(Histogram(values, rng.integers(1, 10_000, 1000)))
    free, _ = share_tables(planes, first_id=1)
    bound, ids = share_tables(planes, first_id=1, most_symbols=1000)
    assert len(free) > 1
    assert len(bound) == 1
    assert set(ids) == {1}


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint8])
def test_histograms_of_the_whole_range_of_a_type(dtype):
    bounds = np.iinfo(dtype)
    symbols = np.array([bounds.min, 0, bounds.max, bounds.max], dtype)
    found = histogram(symbols)
    expected = {bounds.min: 1, 0: 1, bounds.max: 2}
    if bounds.min == 0:
        expected = {0: 2, bounds.max: 2}
    assert dict(zip(found.values.tolist(), found.counts.tolist(), strict=True)) == (
        expected
    )


def test_many_planes_of_different_spread_lose_little_by_sharing_tables():
    """Classes of a large network: a few hold most of the symbols."""
    rng = np.random.default_rng(0)
    planes, ideal = [], 0.0
    for number in range(30):
        count = 200_000 >> abs(number - 17) // 2 * 2
        symbols = np.rint(rng.laplace(size=count) * 2 ** (number / 2 - 4))
        planes.append(histogram(symbols.astype(np.int32)))
        shares = planes[-1].counts / count
        ideal -= float((planes[-1].counts * np.log2(shares)).sum())
    tables, ids = share_tables(planes, first_id=1)
    coded = 0
    for plane, number in zip(planes, ids, strict=True):
        table = tables[number - 1]
        prices = table.prices[np.searchsorted(table.values, plane.values)]
        coded += int((plane.counts * prices).sum())
    assert coded / 2**PRICE_BITS < 1.003 * ideal
    assert len(tables) < len(planes)


def test_many_planes_of_equal_spread_share_tables_by_their_symbols():
    kinds, each = 10, 12
    planes = [
        Histogram(np.arange(4) + 10 * (number % kinds), np.array([90, 70, 50, 30]))
        for number in range(kinds * each)
    ]
    tables, ids = share_tables(planes, first_id=1)
    assert len(tables) == kinds
    assert ids == ids[:kinds] * each


def test_a_section_has_at_most_a_share_of_all_tables():
    planes = [
        Histogram(np.arange(2) + 2 * number, np.array([10_000, 20_000]))
        for number in range(300)
    ]
    tables, ids = share_tables(planes, first_id=1)
    assert len(tables) == MOST_CLUSTERS
    assert set(ids) == set(range(1, MOST_CLUSTERS + 1))


def test_planes_of_huge_counts_share_a_table():
    plane = Histogram(np.arange(3), np.array([1 << 50, 1 << 49, 1]))
    other = Histogram(np.arange(3), np.array([1 << 49, 1 << 48, 1]))
    tables, ids = share_tables([plane, other], first_id=1)
    assert (len(tables), ids) == (1, [1, 1])
