import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnx import spec
from lnx.binary.deflate import deflate
from lnx.binary.huffman import code_lengths, codes


def inflate(data, dictionary):
    reader = zlib.decompressobj(-15, dictionary)
    plain = reader.decompress(data)
    assert reader.eof
    assert not reader.unused_data
    return plain


def zlib_size(data, dictionary):
    writer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, 0, dictionary)
    return len(writer.compress(data) + writer.flush())


@given(st.binary(max_size=600), st.integers(1, 4), st.binary(max_size=40))
@settings(max_examples=200, deadline=None)
def test_zlib_reads_it(data, times, dictionary):
    text = data * times
    packed = deflate(text, dictionary)
    assert inflate(packed, dictionary) == text


@pytest.mark.parametrize("size", [0, 1, 2, 3, 257, 258, 259, 260, 40_000, 70_000])
def test_runs_of_any_length(size):
    assert inflate(deflate(bytes(size), b""), b"") == bytes(size)


@pytest.mark.parametrize("distance", [1, 4, 5, 32_767, 32_768, 32_769])
def test_matches_up_to_the_window(distance):
    middle = random.Random(0).randbytes(distance)
    text = (middle * 301)[: distance + 300]
    packed = deflate(text, b"")
    assert inflate(packed, b"") == text
    assert (len(packed) < len(text)) == (distance <= 32_768)


def test_names_pack_about_as_well_as_by_zlib():
    names = "".join(
        f"layer{i}.{j}.{part}"
        for i in range(1, 5)
        for j in range(6)
        for part in ("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean")
    ).encode()
    packed = deflate(names, spec.HEADER_DICTIONARY)
    assert len(packed) <= 1.02 * zlib_size(names, spec.HEADER_DICTIONARY)


def test_bytes_are_pinned():
    text = b"layer1.0.conv1.weight layer1.1.conv1.weight" * 3
    assert deflate(text, b"").hex() == PINNED


PINNED = "cb49ac4c2d32d433d04bcecf2b33d42b4fcd4ccf2851808a1aa288d2462900"


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=286))
@settings(max_examples=100, deadline=None)
def test_code_lengths_are_legal_and_optimal_enough(counts):
    lengths = code_lengths(counts, 15)
    used = [n for n, count in zip(lengths, counts, strict=True) if count]
    assert all(0 < n <= 15 for n in used)
    assert all(not n for n, c in zip(lengths, counts, strict=True) if not c)
    if len(used) > 1:
        assert sum(2**-n for n in used) == 1
    for count, length in zip(counts, lengths, strict=True):
        for other, longer in zip(counts, lengths, strict=True):
            assert not 0 < other < count or length <= longer


def test_lengths_keep_their_limit():
    fibonacci = [1, 1]
    while len(fibonacci) < 30:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    lengths = code_lengths(fibonacci, 15)
    assert max(lengths) == 15
    assert sum(2**-n for n in lengths) == 1


def test_codes_are_those_of_the_standard():
    # The example of RFC 1951, 3.2.2, its bits turned around.
    expected = ["010", "011", "100", "101", "110", "00", "1110", "1111"]
    found = codes([3, 3, 3, 3, 3, 2, 4, 4])
    lengths = [3, 3, 3, 3, 3, 2, 4, 4]
    shown = [f"{c:0{n}b}"[::-1] for c, n in zip(found, lengths, strict=True)]
    assert shown == expected
