import signal
import subprocess
import sys
from functools import partial
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lnx
from lnx import CorruptError
from lnx.coding import range_coder
from lnx.coding.numpy_coder import decode_lanes, decoding, encode_lanes
from lnx.coding.range_coder import GOLDEN, constriction_is_exact
from lnx.coding.tables import PRICE_BITS, Table
from lnx.write.make_table import make_table, quantize_counts
from tests.format.making import ENVIRONMENT, assert_equal, small_container


def decode_with(few, messages):
    """Decode lanes in lock-step while there are some, then one by one."""
    with mock.patch.object(decoding, "FEW_LANES", few):
        return decode_lanes(messages)


# Both coders where constriction is installed, the own one everywhere, in all its ways.
CODERS = {
    "lanes": (encode_lanes, decode_lanes),
    "lock-step": (encode_lanes, partial(decode_with, 1)),
    "handed over": (encode_lanes, partial(decode_with, 3)),
}
if range_coder.constriction is not None:
    CODERS["constriction"] = (range_coder.encode, range_coder.decode)


@pytest.fixture(params=sorted(CODERS))
def coder(request):
    return CODERS[request.param]


def table_of(frequencies, bits=14):
    return Table(np.arange(len(frequencies)), np.array(frequencies, np.int64), bits)


def lengths(message):
    return [(table, len(symbols)) for table, symbols in message]


def assert_runs(message, decoded):
    for (_, symbols), again in zip(message, decoded, strict=True):
        np.testing.assert_array_equal(symbols, again)


@pytest.mark.parametrize(("frequencies", "symbols", "words"), GOLDEN)
def test_golden_messages(coder, frequencies, symbols, words):
    encode, decode = coder
    message = [(table_of(frequencies), np.array(symbols, np.int32))]
    assert encode([message])[0].hex() == words
    assert_runs(message, decode([(bytes.fromhex(words), lengths(message))])[0])


@pytest.mark.skipif(range_coder.constriction is None, reason="not installed")
def test_constriction_is_trusted_only_if_it_codes_the_golden_messages(monkeypatch):
    assert constriction_is_exact()
    bad = (((8192, 8192), (0, 1), "00000000"),)
    monkeypatch.setattr(range_coder, "GOLDEN", bad)
    assert not constriction_is_exact.__wrapped__()
    monkeypatch.setattr(range_coder, "constriction", None)
    assert not constriction_is_exact.__wrapped__()


class Panic(BaseException):
    """What Rust makes of an interrupt in Python code that it calls."""


@pytest.mark.skipif(range_coder.constriction is None, reason="not installed")
def test_an_interrupt_of_the_first_call_is_no_panic(monkeypatch):
    model = range_coder.constriction.stream.model
    categorical = model.Categorical

    def interrupted(*arguments, **named):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise Panic from None
        return categorical(*arguments, **named)

    monkeypatch.setattr(model, "Categorical", interrupted)
    with pytest.raises(KeyboardInterrupt):
        constriction_is_exact.__wrapped__()
    monkeypatch.undo()
    assert constriction_is_exact.__wrapped__()


@st.composite
def messages(draw):
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    made = []
    for _ in range(draw(st.integers(0, 6))):
        runs = []
        for _ in range(draw(st.integers(0, 4))):
            size, bits = int(rng.integers(1, 40)), int(rng.integers(10, 17))
            counts = rng.integers(1, 10 ** int(rng.integers(1, 7)), size)
            frequencies = quantize_counts(counts.astype(np.int64), bits)
            values = np.cumsum(rng.integers(1, 4, size)) - 30
            table = Table(values, frequencies, bits)
            likely = frequencies / frequencies.sum() if rng.random() < 0.5 else None
            count = int(rng.integers(0, 300))
            drawn = rng.choice(values, count, p=likely).astype(np.int32)
            runs.append((table, drawn))
        made.append(runs)
    return made


@given(messages())
@settings(max_examples=70, deadline=None)
def test_messages_come_back_from_both_coders_alike(made):
    found = {name: encode(made) for name, (encode, _) in CODERS.items()}
    data = found["lanes"]
    assert all(other == data for other in found.values())
    parts = [(d, lengths(m)) for d, m in zip(data, made, strict=True)]
    for _, decode in CODERS.values():
        for message, decoded in zip(made, decode(parts), strict=True):
            assert_runs(message, decoded)


@pytest.mark.parametrize("seed", range(20))
def test_carries_run_through_held_words(seed):
    """Near-certain symbols at the top of the range hold words back for long."""
    rng = np.random.default_rng(seed)
    table = table_of([1, (1 << 16) - 2, 1], 16)
    made = []
    for _ in range(30):
        symbols = np.full(int(rng.integers(1, 400)), 1, np.int32)
        rare = rng.random(len(symbols)) < 0.05
        symbols[rare] = rng.choice([0, 2], int(rare.sum()), p=[0.1, 0.9])
        made.append([(table, symbols)])
    found = [encode(made) for encode, _ in CODERS.values()]
    assert all(other == found[0] for other in found)
    parts = [(d, lengths(m)) for d, m in zip(found[0], made, strict=True)]
    for _, decode in CODERS.values():
        for message, decoded in zip(made, decode(parts), strict=True):
            assert_runs(message, decoded)


@pytest.mark.parametrize("words", ["d85fbc5b", "d85fbc5b07000000", "d95fbc5b"])
def test_other_words_may_give_the_same_symbols(coder, words):
    """Streams are not canonical: a reader takes words that no encoder writes."""
    _, decode = coder
    frequencies, symbols, _ = GOLDEN[0]
    message = [(table_of(frequencies), np.array(symbols))]
    assert_runs(message, decode([(bytes.fromhex(words), lengths(message))])[0])


def test_where_nothing_is_coded_there_are_no_words(coder):
    _, decode = coder
    single = Table(np.array([3]), np.array([1 << 10]), 10)
    for runs in ([], [(single, 4)], [(table_of([1, 16383]), 0)]):
        assert [len(x) for x in decode([(b"", runs)])[0]] == [n for _, n in runs]
    with pytest.raises(CorruptError, match="that take none"):
        range_coder.decode([(bytes(4), [(single, 4)])])


def test_one_symbol_takes_nothing(coder):
    encode, decode = coder
    table = Table(np.array([-7]), np.array([1 << 10]), 10)
    assert encode([[(table, np.full(1_000_000, -7, np.int32))], []]) == [b"", b""]
    assert decode([(b"", [(table, 5)])])[0][0].tolist() == [-7] * 5


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_coder_loses_a_thousandth_and_32_bits_at_most(coder, spread):
    encode, _ = coder
    rng = np.random.default_rng(0)
    symbols = np.rint(rng.laplace(size=20_000) * spread).astype(np.int32)
    values, counts = np.unique(symbols, return_counts=True)
    table = make_table(values.astype(np.int64), counts.astype(np.int64))
    ideal = int((counts * table.prices).sum()) / (1 << PRICE_BITS)
    assert len(encode([[(table, symbols)]])[0]) * 8 <= 1.001 * ideal + 32


@pytest.mark.skipif(range_coder.constriction is None, reason="not installed")
def test_runs_longer_than_a_call_of_the_coder():
    rng = np.random.default_rng(0)
    symbols = (rng.random((1 << 20) + 17) < 0.1).astype(np.int32)
    message = [(table_of([900, 124], 10), symbols)]
    (data,) = range_coder.encode([message])
    assert_runs(message, range_coder.decode([(data, lengths(message))])[0])


@given(st.binary(max_size=64).map(lambda d: d[: len(d) // 4 * 4]))
@settings(max_examples=100, deadline=None)
def test_noise_decodes_to_symbols_or_to_an_error(noise):
    table = table_of([1000, 20, 4], 10)
    for _, decode in CODERS.values():
        try:
            (found,) = decode([(noise, [(table, 50)])])
        except CorruptError:
            continue
        assert set(found[0].tolist()) <= {0, 1, 2}


WITHOUT = """
import sys
sys.modules["constriction"] = None
import lnx
from tests.format.making import small_container
sys.stdout.buffer.write(lnx.dumps(small_container()))
"""


def test_files_are_the_same_without_constriction():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env=ENVIRONMENT,
        capture_output=True,
        check=True,
    )
    assert done.stdout == lnx.dumps(small_container())
    assert_equal(lnx.loads(done.stdout), small_container())


def test_many_large_tables_are_searched_not_spread():
    """Look-ups of 200 tables of 2**16 slots would take 100 MB."""
    rng = np.random.default_rng(0)
    tables = []
    for _ in range(200):
        cuts = np.sort(rng.choice(np.arange(1, 1 << 16), 5, replace=False))
        frequencies = np.diff(np.concatenate(([0], cuts, [1 << 16])))
        tables.append(Table(np.arange(6), frequencies, 16))
    message = [(t, rng.integers(0, 6, 7).astype(np.int32)) for t in tables]
    words = encode_lanes([message, message[:50]])
    assert words == [range_coder.encode([m])[0] for m in (message, message[:50])]
    found = decode_lanes(
        [(w, lengths(m)) for w, m in zip(words, (message, message[:50]), strict=True)]
    )
    assert_runs(message, found[0])
    assert_runs(message[:50], found[1])
