import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnx.entropy import decode, encode
from lnx.tables import PRICE_BITS, Table

# Frequencies of precision 14, symbols, and the bytes of the message.
GOLDEN = [
    ([8192, 4096, 2048, 1024, 1024], [0, 1, 2, 3, 4, 0, 0, 0, 1, 4, 3, 2], "d85fbc5b"),
    ([1, 16382, 1], [0, 1, 0, 0, 2, 2, 0], "10000000fff73f00004000fc"),
    ([5, 7, 16362, 2, 8], [3, 3, 0, 3, 3], "c0fedffffd9bff0200000000"),
]


def table_of(frequencies, bits=14):
    count = len(frequencies)
    return Table(np.arange(count), np.array(frequencies, np.int64), bits)


@pytest.mark.parametrize(("frequencies", "symbols", "words"), GOLDEN)
def test_golden_messages(frequencies, symbols, words):
    table = table_of(frequencies)
    message = np.array(symbols, np.int32)
    assert encode([(table, message)]).hex() == words
    (decoded,) = decode(bytes.fromhex(words), [(table, len(symbols))])
    assert decoded.tolist() == symbols


@st.composite
def runs(draw):
    made = []
    for _ in range(draw(st.integers(0, 4))):
        count = draw(st.integers(1, 20))
        weights = [draw(st.integers(1, 1000)) for _ in range(count)]
        weights[0] += (1 << 15) - sum(weights)
        symbols = draw(st.lists(st.integers(0, count - 1), max_size=200))
        made.append((table_of(weights, 15), np.array(symbols, np.int32)))
    return made


@given(runs())
@settings(max_examples=150, deadline=None)
def test_messages_come_back(message):
    data = encode(message)
    decoded = decode(data, [(table, len(symbols)) for table, symbols in message])
    for (_, symbols), again in zip(message, decoded, strict=True):
        np.testing.assert_array_equal(symbols, again)


def test_one_symbol_takes_nothing():
    table = Table(np.array([-7]), np.array([1 << 10]), 10)
    data = encode([(table, np.full(1_000_000, -7, np.int32))])
    assert data == b""
    (decoded,) = decode(data, [(table, 5)])
    assert decoded.tolist() == [-7] * 5


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_coder_loses_a_thousandth_and_32_bits_at_most(spread):
    rng = np.random.default_rng(0)
    symbols = np.rint(rng.laplace(size=50_000) * spread).astype(np.int32)
    values, counts = np.unique(symbols, return_counts=True)
    from lnx.tables import make_table

    table = make_table(values.astype(np.int64), counts.astype(np.int64))
    ideal = int((counts * table.prices()).sum()) / (1 << PRICE_BITS)
    assert len(encode([(table, symbols)])) * 8 <= 1.001 * ideal + 32


def test_runs_longer_than_a_call_of_the_coder():
    rng = np.random.default_rng(0)
    symbols = (rng.random((1 << 20) + 17) < 0.1).astype(np.int32)
    table = table_of([900, 124], 10)
    (decoded,) = decode(encode([(table, symbols)]), [(table, len(symbols))])
    np.testing.assert_array_equal(decoded, symbols)
