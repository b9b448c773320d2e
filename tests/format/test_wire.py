import hashlib
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnx import ContentError, FormatError
from lnx.binary.wire import (
    Reader,
    Writer,
    pack,
    unpack,
    unzigzag,
    zigzag,
)
from lnx.errors import MOST_SHOWN, located, printable
from lnx.spec import HEADER_DICTIONARY, Packing


@given(st.lists(st.integers(0, (1 << 63) - 1)))
def test_varints_come_back(values):
    writer = Writer()
    writer.varints(values)
    reader = Reader(writer.getvalue())
    assert [reader.varint("x", (1 << 63) - 1) for _ in values] == values
    reader.end("values")


@pytest.mark.parametrize("value", [-1, 1 << 63])
def test_writer_refuses_integers_out_of_bounds(value):
    with pytest.raises(ContentError, match="63 bits"):
        Writer().varint(value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "needs 1 bytes, 0 are left"),
        (b"\x80", "needs 1 bytes"),
        (b"\x80\x00", "shortest form"),
        (b"\xff" * 10, "more than 63 bits"),
        (b"\x65", "at most 100"),
    ],
)
def test_reader_refuses_varints(data, message):
    with pytest.raises(FormatError, match=message):
        Reader(data).varint("x", 100)


def test_reader_refuses_more_integers_than_bytes():
    with pytest.raises(FormatError, match="announced, 3 bytes left"):
        Reader(b"abc").varints("x", 1 << 40, 255)


@given(st.integers(-(1 << 40), 1 << 40))
def test_zigzag_comes_back(value):
    assert unzigzag(zigzag(value)) == value


@given(st.binary(max_size=3000))
def test_pack_comes_back(data):
    packing, stored = pack(data)
    assert len(stored) <= len(data)
    assert unpack("x", packing, stored, len(data)) == data


def test_unpack_stops_at_the_announced_size():
    packer = zlib.compressobj(
        9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, HEADER_DICTIONARY
    )
    bomb = packer.compress(bytes(10_000_000)) + packer.flush()
    with pytest.raises(FormatError, match="does not unpack to the 100 bytes"):
        unpack("bomb", Packing.DEFLATE, bomb, 100)
    with pytest.raises(FormatError, match="does not unpack"):
        unpack("noise", Packing.DEFLATE, b"\xff\xff\xff", 100)
    with pytest.raises(FormatError, match="does not unpack to"):
        unpack("longer", Packing.DEFLATE, pack(bytes(100))[1] + b"x", 100)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layer1.0.conv.weight", "layer1.0.conv.weight"),
        ("a\x1b[31m\r\n\u202e[bold]", "a\\x1b[31m\\r\\n\\u202e[bold]"),
        ("x': the file was verified, 'y", "x\\': the file was verified, \\'y"),
        ("back\\slash", "back\\\\slash"),
        ("\ud800", "\\ud800"),
        ("é", "é"),
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 58 + "..." + "x" * 58),
        ("\x1b" * 900_000, "\\x1b" * 14 + "..." + "\\x1b" * 14),
        ("a" * 119 + "\n", "a" * 58 + "..." + "a" * 56 + "\\n"),
    ],
)
def test_names_from_a_file_cannot_steer_a_terminal(text, expected):
    assert printable(text) == f"'{expected}'"
    assert len(printable(text)) <= MOST_SHOWN + 2


def test_where_it_happened_stands_before_the_message():
    with (
        pytest.raises(FormatError, match=r"^tensor 'x': too short$"),
        located("tensor 'x'"),
    ):
        raise FormatError("too short")


@given(st.lists(st.integers(0, (1 << 63) - 1), min_size=60, max_size=90))
@settings(max_examples=100, deadline=None)
def test_many_varints_are_read_as_one_by_one(values):
    writer = Writer()
    writer.varints([*values, 7])
    reader = Reader(writer.getvalue())
    assert reader.varints("x", len(values), 1 << 63) == values
    assert reader.varint("y", 7) == 7
    reader.end("all")


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (b"\x80", "100 x x announced, 99 are there"),
        (b"\x80\x00", "shortest form"),
        (b"\xff" * 9 + b"\x01", "63 bits"),
        (b"\x65", "x is 101, at most 100"),
        (b"\x00", "x is 0, at least 1"),
    ],
)
def test_many_varints_are_checked(tail, message):
    reader = Reader(b"\x05" * 99 + tail)
    with pytest.raises(FormatError, match=message):
        reader.varints("x", 100, 100, least=1)


@pytest.mark.parametrize("digests", [300, 600, 2000])
def test_digests_do_not_lengthen_the_text_before_them(digests):
    """Under one code, both took 100 to 170 bytes more than apart."""
    text = b"".join(b"layer%d.%d.conv.weight" % (i // 7, i * i) for i in range(90))
    data = text + hashlib.shake_256(b"digests").digest(digests)
    packing, packed = pack(data)
    assert unpack("it", packing, packed, len(data)) == data
    assert len(packed) < len(pack(text)[1]) + digests + 70
