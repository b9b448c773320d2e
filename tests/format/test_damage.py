import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lnx
from lnx import spec
from lnx.binary.wire import digest
from lnx.parts.prefix import PREFIX
from tests.format.making import assert_equal, decoder, latents, small_container

SMALL = lnx.dumps(small_container())


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


def test_damage_names_the_tensor():
    tensors = tuple(
        lnx.Latent(f"layer{i}.weight", (3000, 9), latents(3000, 9, i, zero=0), 0)
        for i in range(4)
    )
    data = bytearray(lnx.dumps(lnx.Container(tensors, (decoder(9),))))
    data[len(data) // 2] ^= 16
    with pytest.raises(lnx.CorruptError, match=r"layer[12]\.weight"):
        lnx.loads(bytes(data))


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


@given(st.binary(max_size=400), st.sampled_from([0, spec.LEAVES_OUT]))
@settings(max_examples=200, deadline=None)
def test_any_header_is_read_or_refused(noise, required):
    """Headers with right hashes and any content: an error of ours, nothing else."""
    from lnx.parts.prefix import write_frame

    body = write_frame(noise or b"\0", 0, required)
    hostile = body + digest(spec.FILE_DIGEST_BYTES, body)
    with pytest.raises(lnx.LnxError):
        lnx.loads(hostile)


def test_prefix_has_the_size_that_the_text_says():
    assert PREFIX.size + spec.PREFIX_DIGEST_BYTES == spec.PREFIX_BYTES
    assert struct.calcsize("<8sBBHHQII") == PREFIX.size
