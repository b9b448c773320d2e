import struct

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
