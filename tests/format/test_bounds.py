"""Memory and time that a file may ask for, with constriction and with numpy alone."""

import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import lnx
from lnx import spec
from lnx.coding import range_coder
from lnx.coding.tables import Table
from lnx.parts.bounds import decoded_bytes, excess_work
from lnx.parts.prefix import read_frame
from lnx.parts.records import Chunk
from lnx.tensors.slices import alive_rows
from tests.format.hostile import ONE, SINGLE, chunk, digest, exact, latent, made
from tests.format.making import decoder, small_container

BOTH = pytest.mark.parametrize("name", ["constriction", "numpy"])


@contextmanager
def coder(name):
    """Code with numpy alone, or with whatever is installed."""
    with pytest.MonkeyPatch.context() as patch:
        if name == "numpy":
            patch.setattr(range_coder, "constriction", None)
        range_coder.constriction_is_exact.cache_clear()
        yield
    range_coder.constriction_is_exact.cache_clear()


def seconds(work, name):
    """Return the seconds of this process that some work takes with a coder."""
    with coder(name):
        start = time.process_time()
        work()
        return time.process_time() - start


def test_work_is_bounded_by_weights_and_bytes():
    wide = latent((1 << 20,), 1024, tables=(1,) * 1024, nonzero=1 << 20, zero=0)
    assert excess_work([wide], (1 << 30) // spec.WORK_OF_BYTE) is None
    found = excess_work([wide], 1000)
    assert "1073741824 together, at most 75300864 are allowed" in found
    short = replace(wide, slice_length=64, tables=(1,) * 64)
    assert excess_work([short], 0) is None
    few = replace(wide, nonzero=1 << 16)
    assert excess_work([few], 0) is None


def test_the_writer_refuses_what_readers_would():
    """Latents that are all the same take no bytes, but decoders work on them."""
    rows = np.ones((1200, 1024), np.int8)
    big = lnx.Latent("x", rows.shape, rows, 0)
    flat = np.full((1024, 1024), 0.5, np.float32)
    with pytest.raises(lnx.ContentError, match="use shorter slices"):
        lnx.dumps(lnx.Container((big,), (flat,)))
    rows = np.tile(np.arange(1024) % 3 == 0, (1200, 1)).astype(np.int8)
    few = lnx.Latent("x", rows.shape, rows, 0)
    with pytest.raises(lnx.ContentError, match="use shorter slices"):
        lnx.dumps(lnx.Container((few,), (flat,)))
    rows[:, 60:] = 0
    lnx.dumps(lnx.Container((replace(few, symbols=rows),), (flat,)))


@pytest.mark.parametrize("length", [9, 49, 64, 512])
@pytest.mark.parametrize("density", [0.01, 0.3])
def test_latents_that_say_something_pass_the_bound(length, density):
    """Kernels of any size under an orthonormal basis, dense or nearly empty."""
    rng = np.random.default_rng(length)
    shape = (200_000 // length, length)
    symbols = np.where(rng.random(shape) < density, rng.choice([-1, 1, 2], shape), 0)
    tensor = lnx.Latent("x", shape, symbols.astype(np.int8), 0)
    basis, _ = np.linalg.qr(rng.normal(size=(length, length)))
    container = lnx.Container((tensor,), (basis.astype(np.float32),))
    data = lnx.dumps(container)
    for name in ("constriction", "numpy"):
        with coder(name):
            again = lnx.loads(data)
        np.testing.assert_array_equal(again.tensors[0].symbols, tensor.symbols)


def rows_under_many_tables(count, rows):
    """A file of many runs: each row of 1024 latents is under 512 tables in turn."""
    tables = [
        Table(np.array([-1, 0, 1]), np.array([300 + i % 7, 400, 324 - i % 7]), 10)
        for i in range(512)
    ]
    symbols = np.random.default_rng(0).integers(-1, 2, (count, 1024)).astype(np.int32)
    messages = []
    for start in range(0, count, rows):
        part = symbols[start : start + rows]
        messages.append(
            [(t, part[:, i::512].T.reshape(-1)) for i, t in enumerate(tables)]
        )
    data = range_coder.encode(messages)
    chunks = [Chunk(rows, len(d) // 4, digest(4, d)) for d in data]
    record = latent(
        (count, 1024), 1024, tables=tuple(range(1, 513)) * 2,
        nonzero=int(np.count_nonzero(symbols)), zero=int((~alive_rows(symbols)).sum()),
        columns=int((~symbols.any(axis=0)).sum()),
    )  # fmt: skip
    record = replace(record, zero_columns=0)
    return made([record], tables, ONE, ((), chunks, ()), b"".join(data))


def refused(data):
    """Read a file all of which is legal but its digests of contents."""
    with pytest.raises(lnx.CorruptError, match="match their hash"):
        lnx.loads(data)


@BOTH
def test_many_small_chunks_under_many_tables(name):
    data = rows_under_many_tables(40, 1)
    with pytest.raises(lnx.FormatError, match="40 chunks of latents for"):
        lnx.loads(data)
    data = rows_under_many_tables(100, 5)
    taken = seconds(lambda: refused(data), name)
    assert taken < 2, f"{taken} s for {len(data)} bytes"


@BOTH
def test_a_chunk_of_nearly_free_symbols(name):
    """131,072 symbols in one lane, in a file of 132 bytes."""
    symbols = np.zeros((spec.MAX_CHUNK_CELLS, 1), np.int8)
    symbols[-1] = 1
    tensor = lnx.Latent("x", (spec.MAX_CHUNK_CELLS,), symbols, 0)
    data = lnx.dumps(lnx.Container((tensor,), (decoder(1),)))
    taken = seconds(lambda: lnx.loads(data), name)
    assert taken < 1, f"{taken} s"


def test_a_summary_of_many_tensors(tmp_path):
    records = [
        replace(exact((1,)), name=f"layer{i}.weight") for i in range(spec.MAX_TENSORS)
    ]
    path = tmp_path / "m.lnx"
    path.write_bytes(made(records, [SINGLE], [], ((), (), [chunk(len(records))])))
    taken = seconds(lambda: lnx.summary(path), "constriction")
    assert len(lnx.summary(path).tensors) == spec.MAX_TENSORS
    assert taken < 2, f"{taken} s"


def test_decoded_bytes_of_some_tensors_and_of_copies():
    records = read_frame(lnx.dumps(small_container())).header.records
    sizes = {"conv.weight": 1152, "fc.weight": 160, "norm.weight": 32,
             "norm.running_mean": 32, "steps": 8}  # fmt: skip
    assert decoded_bytes(records) == sum(sizes.values())
    assert decoded_bytes(records, copies=True) == sum(sizes.values()) + 160
    assert decoded_bytes(records, {"steps", "head.weight"}) == 8
    assert decoded_bytes(records, {"steps", "head.weight"}, copies=True) == 168


def test_the_budget_counts_what_is_asked_for(tmp_path):
    path = tmp_path / "m.lnx"
    lnx.save(small_container(), path)
    assert list(lnx.arrays(path, ["steps"], max_size=8)) == ["steps"]
    assert list(lnx.arrays(path, "steps", max_size=8)) == ["steps"]
    with pytest.raises(lnx.LimitError, match="decoded size is 8 bytes"):
        lnx.arrays(path, ["steps"], max_size=7)
    tied = lnx.arrays(path, ["head.weight"], max_size=160)
    assert list(tied) == ["head.weight"]
    for read in (lnx.load, lnx.verify, lnx.arrays):
        read(path, max_size=1384)
        with pytest.raises(lnx.LimitError, match="decoded size is 1384 bytes"):
            read(path, max_size=1383)
