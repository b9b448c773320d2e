import struct
import time

import numpy as np
import pytest
from build import assert_equal, decoder, latents, small_container
from hypothesis import given, settings
from hypothesis import strategies as st

import lnx
from lnx import spec
from lnx.frame import PREFIX
from lnx.wire import digest

SMALL = lnx.dumps(small_container())


def with_prefix(data, **changes):
    """Change fields of the prefix and make its hash and the file's right again."""
    names = ("magic", "major", "minor", "required", "optional", "file", "head", "plain")
    fields = dict(zip(names, PREFIX.unpack_from(data), strict=True))
    stored = fields["head"]
    fields.update(changes)
    fixed = PREFIX.pack(*fields.values())
    head = data[spec.PREFIX_BYTES : spec.PREFIX_BYTES + stored]
    start = fixed + digest(spec.PREFIX_DIGEST_BYTES, fixed, head)
    body = start + data[spec.PREFIX_BYTES : -spec.FILE_DIGEST_BYTES]
    return body + digest(spec.FILE_DIGEST_BYTES, body)


def test_smallest_legal_file_loads():
    assert_equal(lnx.loads(lnx.dumps(lnx.Container(()))), lnx.Container(()))
    assert with_prefix(SMALL) == SMALL


def test_every_single_bit_flip_is_seen():
    missed = []
    for position in range(8 * len(SMALL)):
        damaged = bytearray(SMALL)
        damaged[position // 8] ^= 1 << position % 8
        try:
            lnx.loads(bytes(damaged))
            missed.append(position)
        except lnx.LnxError:
            pass
    assert not missed


def test_every_truncation_is_seen():
    for length in range(len(SMALL)):
        with pytest.raises(lnx.FormatError):
            lnx.loads(SMALL[:length])


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", lnx.FormatError, "too short"),
        (SMALL + b"\0", lnx.FormatError, "1 bytes follow"),
        (SMALL + SMALL, lnx.FormatError, "follow the end"),
        (SMALL.replace(b"\r\n", b"\n"), lnx.FormatError, "text mode"),
        (b"PK\x03\x04" + SMALL, lnx.FormatError, "zip archive"),
        (b"\x80\x02}q" + SMALL, lnx.FormatError, "pickle"),
        (b"LYNX" + SMALL, lnx.FormatError, "no .lnx file"),
        (with_prefix(SMALL, major=0), lnx.VersionError, "no such version"),
        (with_prefix(SMALL, major=9), lnx.VersionError, "update lilnetx"),
        (with_prefix(SMALL, required=4), lnx.VersionError, "unknown feature 0x0004"),
        (with_prefix(SMALL, head=0), lnx.FormatError, "out of bounds"),
        (with_prefix(SMALL, head=1 << 31), lnx.FormatError, "out of bounds"),
        (with_prefix(SMALL, plain=(1 << 32) - 1), lnx.FormatError, "out of bounds"),
        (with_prefix(SMALL, head=1 << 20, plain=1 << 21), lnx.FormatError, "are there"),
        (with_prefix(SMALL, plain=500_000), lnx.FormatError, "does not unpack"),
        (with_prefix(SMALL, file=1 << 40), lnx.FormatError, "parts of"),
    ],
)
def test_bad_framing_is_refused(data, error, message):
    with pytest.raises(error, match=message):
        lnx.loads(data)


@pytest.mark.parametrize("changes", [{"minor": 7}, {"optional": 0x8000}])
def test_newer_minor_versions_and_optional_features_load(changes):
    assert_equal(lnx.loads(with_prefix(SMALL, **changes)), small_container())


def test_damage_names_the_tensor():
    tensors = tuple(
        lnx.Latent(f"layer{i}.weight", (3000, 9), latents(3000, 9, i, zero=0), 0)
        for i in range(4)
    )
    data = bytearray(lnx.dumps(lnx.Container(tensors, (decoder(9),))))
    data[len(data) // 2] ^= 16
    with pytest.raises(lnx.CorruptError, match=r"layer[12]\.weight"):
        lnx.loads(bytes(data))


def test_swapped_streams_are_seen():
    one, two = latents(40, 9, 1), latents(40, 9, 2)
    two[:] = np.random.default_rng(0).permutation(one)
    pair = (lnx.Latent("a", (40, 9), one, 0), lnx.Latent("b", (40, 9), two, 0))
    swapped = (lnx.Latent("a", (40, 9), two, 0), lnx.Latent("b", (40, 9), one, 0))
    true = lnx.dumps(lnx.Container(pair, (decoder(9),)))
    false = lnx.dumps(lnx.Container(swapped, (decoder(9),)))
    assert len(true) == len(false)
    sizes = lnx.estimate(lnx.Container(pair, (decoder(9),)))
    start = len(true) - spec.FILE_DIGEST_BYTES - sizes.latents
    # The digests of the chunks are in the header, so take the other header's body.
    body = true[:start] + false[start : -spec.FILE_DIGEST_BYTES]
    with pytest.raises(lnx.CorruptError):
        lnx.loads(body + digest(spec.FILE_DIGEST_BYTES, body))


def test_a_small_file_cannot_ask_for_much_memory():
    size = 1 << 37
    filled = lnx.Exact("x", lnx.DType.U8, (1,), np.zeros(1, np.uint8))
    data = lnx.dumps(lnx.Container((filled,)))
    from lnx.frame import read_frame, write_frame
    from lnx.header import write_header
    from lnx.records import FillRecord

    header = read_frame(data).header
    record = FillRecord("x", (size,), lnx.DType.U8, b"\0")
    import dataclasses

    grown = dataclasses.replace(header, records=(record,))
    side = header.tables.stored + header.decoders.stored
    at = len(data) - spec.FILE_DIGEST_BYTES - side
    body = write_frame(write_header(grown), side) + data[at : at + side]
    hostile = body + digest(spec.FILE_DIGEST_BYTES, body)
    with pytest.raises(lnx.LimitError, match=f"{size} bytes"):
        lnx.loads(hostile)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_mutations_give_an_error_or_an_equal_result(data):
    mutant = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(mutant) - 1))
        mutant[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(mutant)))
    if data.draw(st.booleans()):
        mutant = mutant[:cut]
    try:
        loaded = lnx.loads(bytes(mutant))
    except lnx.LnxError:
        return
    assert_equal(loaded, small_container())


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_header_is_read_or_refused(noise):
    """Headers with right hashes and any content: an error of ours, nothing else."""
    from lnx.frame import write_frame

    body = write_frame(noise or b"\0", 0)
    hostile = body + digest(spec.FILE_DIGEST_BYTES, body)
    with pytest.raises(lnx.LnxError):
        lnx.loads(hostile)


def test_prefix_has_the_size_that_the_text_says():
    assert PREFIX.size + spec.PREFIX_DIGEST_BYTES == spec.PREFIX_BYTES
    assert struct.calcsize("<8sBBHHQII") == PREFIX.size


def hostile(records, tables=(), decoders=(), chunks=((), (), ()), body=b""):
    """Make a file of any header, with the prefix, side and file digests right."""
    from lnx.frame import write_frame
    from lnx.header import write_header
    from lnx.records import Header
    from lnx.side import pack_decoders, pack_tables, side_digest

    packed, matrices = pack_tables(tables), pack_decoders(decoders)
    header = Header(
        tuple(records), packed.entry, matrices.entry,
        side_digest(packed.stored, matrices.stored), *map(tuple, chunks),
        bytes(8), bytes(8), None, None,
    )  # fmt: skip
    rest = packed.stored + matrices.stored + body
    data = write_frame(write_header(header), len(rest)) + rest
    return data + digest(spec.FILE_DIGEST_BYTES, data)


def chunk(rows, body=b"", words=0):
    from lnx.records import Chunk

    return Chunk(rows, words, digest(spec.CHUNK_DIGEST_BYTES, body))


ONE = [np.ones((1, 1), np.float32)]


def _hostile_cases():
    from lnx.records import ExactRecord, FillRecord, LatentRecord
    from lnx.tables import Table

    single = Table(np.array([0]), np.array([1 << 10]), 10)
    pair = Table(np.array([0, 1]), np.array([512, 512]), 10)
    wide = Table(np.arange(16384), np.full(16384, 4), 16)
    byte = lnx.DType.U8
    many = [
        LatentRecord(str(i), (0,), 1024, 0, 0, (1,) * 1024, 0, 0, 0) for i in range(400)
    ]
    yield "planes", hostile(many, [single], ONE), "planes, at most"
    free = [ExactRecord("x", (50_000,), byte, byte, (1,))]
    cut = ((), (), [chunk(1)] * 50_000)
    yield (
        "chunks",
        hostile(free, [single], ONE, cut),
        "chunks of exact for 0 bytes",
    )
    yield "tables", hostile([], [wide] * 60), "tables hold over"
    large = [np.zeros((1024, 1024), np.float32)] * 5
    yield "decoders", hostile([], [], large), "decoders hold"
    shape = (1 << 40, 1 << 40, 0)
    yield "shape", hostile([FillRecord("x", shape, byte, b"0")]), "are too many"
    two = [ExactRecord("x", (2,), byte, byte, (1,))]
    secret = b"24 bytes that say things"
    extra = ((), (), [chunk(2, secret, 6)])
    yield "extra words", hostile(two, [pair], [], extra, secret), "left over"
    yield "no words needed", hostile(two, [single], [], extra, secret), "left over"
    yield "no table", hostile(two, [], [], ((), (), [chunk(2)])), "has no table 1"
    odd = Table(np.array([0, 300]), np.array([512, 512]), 10)
    yield (
        "symbols",
        hostile(two, [odd], [], ((), (), [chunk(2)])),
        "outside of 0 to 255",
    )
    zero = LatentRecord("w", (4,), 1, 3, 0, (1,), 0, 4, 0)
    rows = ((), [chunk(4)], ())
    yield "decoder", hostile([zero], [single], ONE, rows), "no decoder 3"
    count = LatentRecord("w", (4,), 1, 0, 0, (1,), 2, 2, 0)
    yield "counts", hostile([count], [single], ONE, rows), "not as announced"
    mask = LatentRecord("w", (4,), 1, 0, 1, (1,), 0, 4, 0)
    yield "mask", hostile([mask], [single], ONE), "slices of length 1"


@pytest.mark.parametrize(("name", "data", "message"), list(_hostile_cases()))
def test_hostile_files_with_right_digests(name, data, message):
    del name
    start = time.monotonic()
    with pytest.raises(lnx.LnxError, match=message):
        lnx.loads(data)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("text", ['{"a":1e999}', '{"a":' * 900 + "1" + "}" * 900])
def test_hostile_records_in_a_right_header(text):
    from lnx.wire import load_record

    with pytest.raises(lnx.FormatError):
        load_record("record", text)
