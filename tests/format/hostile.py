"""Hostile files, each with its story: what a reader must answer, and how.

All digests that a writer of the file could make right are right, so that it is the
check behind them that has to answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

import lnx
from lnx import spec
from lnx.binary.wire import Writer, digest
from lnx.coding.tables import Table
from lnx.dtypes import DType
from lnx.parts.blocks import Block, blocks_digest, pack_decoders, pack_tables
from lnx.parts.header import write_header
from lnx.parts.prefix import PREFIX, read_frame, write_frame
from lnx.parts.records import (
    AliasRecord,
    Chunk,
    ClassTables,
    ExactRecord,
    FillRecord,
    FixedRecord,
    Header,
    LatentRecord,
)
from tests.format.making import latents, small_container

SMALL = lnx.dumps(small_container())
U8 = DType.U8
SINGLE = Table(np.array([0]), np.array([1 << 10]), 10)
TWO = Table(np.array([2]), np.array([1 << 10]), 10)
PAIR = Table(np.array([0, 1]), np.array([512, 512]), 10)
ONE = [np.ones((1, 1), np.float32)]


@dataclass(frozen=True)
class Case:
    """A file and the answer to it."""

    story: str
    data: bytes
    error: type[lnx.LnxError]
    message: str


def with_prefix(data, **changes):
    """Change fields of the prefix and make its hash and the file's right again."""
    names = ("magic", "major", "minor", "required", "optional", "file", "head", "plain")
    fields = dict(zip(names, PREFIX.unpack_from(data), strict=True))
    stored = fields["head"]
    fields.update(changes)
    fixed = PREFIX.pack(*fields.values())
    head = data[spec.PREFIX_BYTES : spec.PREFIX_BYTES + stored]
    start = fixed + digest(spec.PREFIX_DIGEST_BYTES, fixed, head)
    return finished(start + data[spec.PREFIX_BYTES : -spec.FILE_DIGEST_BYTES])


def finished(body):
    """Append the hash of a file."""
    return body + digest(spec.FILE_DIGEST_BYTES, body)


def plain_block(data):
    """Hold bytes as tables or decoders, whatever they are."""
    from lnx.parts.records import PackedBlock
    from lnx.spec import Packing

    return Block(PackedBlock(Packing.PLAIN, len(data), len(data)), data)


def made(
    records,
    tables=(),
    decoders=(),
    chunks=((), (), ()),
    body=b"",
    header=write_header,
    **fields,
):
    """Make a file of any header, with the digests of prefix, blocks and file right."""
    packed = tables if isinstance(tables, Block) else pack_tables(tables)
    matrices = decoders if isinstance(decoders, Block) else pack_decoders(decoders)
    values = {
        "architecture": None, "training": None, "metadata": None,
        "integers_digest": bytes(8), "rebuilt_digest": bytes(8),
        "class_tables": ClassTables(), "scales": (), "fixed": (), **fields,
    }  # fmt: skip
    masks, rows, exact = map(tuple, chunks)
    content = Header(
        records=tuple(records), tables=packed.entry, decoders=matrices.entry,
        blocks_digest=blocks_digest(packed.stored, matrices.stored),
        masks=masks, latents=rows, exact=exact, **values,
    )  # fmt: skip
    rest = packed.stored + matrices.stored + body
    required = content.required
    return finished(write_frame(header(content), len(rest), required) + rest)


def chunk(rows, body=b"", words=0):
    """Describe a chunk of those bytes."""
    return Chunk(rows, words, digest(spec.CHUNK_DIGEST_BYTES, body))


def written(*steps):
    """Return bytes of a header or block, written step by step."""
    writer = Writer()
    for step in steps:
        if isinstance(step, bytes):
            writer.raw(step)
        elif isinstance(step, str):
            writer.text(step, 1 << 24)
        else:
            writer.varint(step)
    return writer.getvalue()


def raw_header(*steps):
    """Make a file whose plain header is exactly these bytes."""
    return finished(write_frame(written(*steps), 0))


def named(*steps):
    """Make a file that has one tensor, named x, and whose header goes on with these."""
    return raw_header(*tree(["x"]), *steps)


def tree(*nodes):
    """Return the steps that write nodes of names, of texts or (text, child) each."""
    entries = [key if isinstance(key, tuple) else (key, 0) for n in nodes for key in n]
    keys = [key if isinstance(key, bytes) else key.encode() for key, _ in entries]
    return [
        len(nodes), *map(len, nodes), *(child for _, child in entries),
        *map(len, keys), *keys,
    ]  # fmt: skip


def fill(name="x", shape=(1,), dtype=U8, element=b"\0"):
    return FillRecord(name, shape, dtype, element)


def exact(shape=(2,), tables=(1,), dtype=U8, stored=U8, turned=False):
    return ExactRecord("x", shape, dtype, stored, turned, tables)


def latent(
    shape=(4,), length=1, decoder=0, mask=0, tables=(1,), nonzero=0, zero=4, rows=0,
    columns=0, trellis=False, dtype=DType.F32, scale=0,
):  # fmt: skip
    counts = (nonzero, zero, rows, columns, 0)
    return LatentRecord(
        "w", shape, length, decoder, trellis, dtype, mask, scale, tables, *counts
    )


def classed(class_tables, tables, scales=b"", rows=6, **fields):
    """Make a file of one tensor, (2, 3), whose cells are coded by class."""
    record = latent((2, 3), tables=(), zero=6, scale=1, **fields)
    chunks = ((), [chunk(6)], ())
    coded = [chunk(rows, scales, len(scales) // 4)]
    return made(
        [record], tables, ONE, chunks, scales, class_tables=class_tables, scales=coded
    )


def classes() -> Iterator[Case]:
    wrong = lnx.FormatError
    known = ClassTables(16, (1,))  # scales of 0 are class 16
    yield Case("no table for a class", classed(ClassTables(), [SINGLE]), wrong, "class")
    other = classed(ClassTables(3, (1,)), [SINGLE])
    yield Case("a table for another class", other, wrong, "scale class without a table")
    missing = classed(ClassTables(16, (7,)), [SINGLE])
    yield Case("a class with no such table", missing, wrong, "class has no table 7")
    far = Table(np.array([0, 1 << 20]), np.array([512, 512]), 10)
    yield Case("scales out of bounds", classed(known, [far]), wrong, "outside of -128")
    few = classed(known, [SINGLE], rows=5)
    yield Case("too few scales", few, wrong, "chunks of scales hold 5 of 6 rows")
    first = with_classes(39, 5)
    yield Case("classes past the last", first, wrong, "first class is 39, at most 35")
    yield Case(
        "too many classes", with_classes(0, 41), wrong, "number of classes is 41"
    )
    noise = classed(known, [PAIR], b"\xff\xfe\x01\x02" * 9)
    yield Case("words that scales do not take", noise, wrong, "")
    flag = made([latent()], [SINGLE], ONE, header=with_trellis(2))
    yield Case("a trellis of 2", flag, wrong, "trellis 2 is neither 0 nor 1")
    steep = made([latent(nonzero=4, zero=0, dtype=DType.F16)], [TWO],
                 [np.full((1, 1), 1e5, np.float32)], ((), [chunk(4)], ()))  # fmt: skip
    yield Case("float16 that overflows", steep, wrong, "overflow F16")
    size = plain_block(written(1, 0, 3) + bytes(4))
    yield Case("a cosine of size 0", made([], (), size), wrong, "at least 1")
    short = plain_block(written(1, 9, 3) + bytes(9))
    yield Case("a cosine cut short", made([], (), short), wrong, "needs 22 bytes")
    nan = plain_block(written(1, 1, 5) + b"\0\0\xc0\x7f" * 3)
    yield Case("a cosine of NaN", made([], (), nan), wrong, "NaN or Inf")
    head = written(1, 9, 6)
    none = plain_block(head + b"\0" + bytes(4))
    yield Case("no reflections", made([], (), none), wrong, "at least 1")
    many = plain_block(written(1, 64, 6) + b"\x09" + bytes(600))
    yield Case("too many reflections", made([], (), many), wrong, "reflections is 9")
    square = plain_block(written(1, 9, 6) + b"\x08" + bytes(80))
    yield Case("reflections of a square", made([], (), square), wrong, "is 8")
    tiny = plain_block(written(1, 2, 6) + b"\x01" + bytes(6))
    yield Case("a reflection of size 2", made([], (), tiny), wrong, "is 1")
    zero = plain_block(head + b"\x01" + b"\0\0\x80?" + bytes(9))
    yield Case("a reflection of zeros", made([], (), zero), wrong, "all zero")
    nan = plain_block(head + b"\x01" + b"\0\0\xc0\x7f" + b"\1" * 9)
    yield Case("a step of NaN", made([], (), nan), wrong, "NaN or Inf")
    short = plain_block(head + b"\x02" + bytes(4) + b"\1" * 9)
    yield Case("reflections cut short", made([], (), short), wrong, "needs 18 bytes")


def with_classes(first, count):
    """Make a file whose header tells of that many classes from there on."""
    return made([], class_tables=ClassTables(first, (1,) * count))


def with_trellis(byte):
    """Return what writes a header whose only latent tensor has this trellis byte."""

    def header(content):
        plain = bytearray(write_header(content))
        at = plain.index(bytes([0, 0, DType.F32, 1])) + 1  # no scales, no trellis
        plain[at] = byte
        return bytes(plain)

    return header


def framing() -> Iterator[Case]:
    wrong = lnx.FormatError
    yield Case("empty", b"", wrong, "0 bytes are too short")
    yield Case("one byte", b"\x89", wrong, "1 bytes are too short")
    yield Case("cut in the header", SMALL[:60], wrong, "are there")
    yield Case("cut in the body", SMALL[:-40], lnx.CorruptError, "cut short")
    yield Case("cut by a byte", SMALL[:-1], lnx.CorruptError, "cut short")
    for name, start, message in (
        ("zip", b"PK\x03\x04", "zip archive"),
        ("pickle", b"\x80\x02}q", "a pickle"),
        ("png", b"\x89PNG\r\n\x1a\n", "not a .lnx file"),
        ("gguf", b"GGUF\x03\0\0\0", "not a .lnx file"),
        ("safetensors", b"\x40\0\0\0\0\0\0\0{", "not a .lnx file"),
        ("lynx", b"LYNX", "not a .lnx file"),
        ("html", b"<!DOCTYPE html>", "not a .lnx file"),
        ("gzip", b"\x1f\x8b\x08\0", "not a .lnx file"),
    ):
        yield Case(f"a {name} file", start + SMALL, wrong, message)
    yield Case("LF for CRLF", SMALL.replace(b"\r\n", b"\n"), wrong, "text mode")
    yield Case("CRLF for LF", SMALL.replace(b"\n", b"\r\n"), wrong, "text mode")
    yield Case("high bit gone", b"\x09" + SMALL[1:], wrong, "text mode")
    version = lnx.VersionError
    yield Case(
        "version 0", with_prefix(SMALL, major=0), version, "compress the model again"
    )
    yield Case("version 9", with_prefix(SMALL, major=9), version, "update lilnetx")
    feature = with_prefix(SMALL, required=4)
    yield Case("required feature", feature, version, "unknown feature 0x0004")
    head = with_prefix(SMALL, head=0)
    yield Case("no header", head, wrong, "out of bounds")
    head = with_prefix(SMALL, head=1 << 31)
    yield Case("header over the cap", head, wrong, "out of bounds")
    head = with_prefix(SMALL, plain=(1 << 32) - 1)
    yield Case("plain header over the cap", head, wrong, "out of bounds")
    head = with_prefix(SMALL, head=1 << 20, plain=1 << 21)
    yield Case("header over the file", head, wrong, "are there")
    head = with_prefix(SMALL, plain=500_000)
    yield Case("header that unpacks to less", head, wrong, "does not unpack")
    head = with_prefix(SMALL, head=200, plain=100)
    yield Case("header that shrinks", head, wrong, "200 bytes stored, 100 plain")
    yield Case("file of 2**40", with_prefix(SMALL, file=1 << 40), wrong, "parts of")
    yield Case("file of 2**63", with_prefix(SMALL, file=1 << 63), wrong, "parts of")
    yield Case("a byte behind", SMALL + b"\0", wrong, "1 byte follows")
    yield Case("two files", SMALL + SMALL, wrong, "follow the end")


def headers() -> Iterator[Case]:
    wrong = lnx.FormatError
    yield Case("header of zeros", raw_header(bytes(100)), wrong, "bytes too many|is")
    yield Case("header of 0xff", raw_header(b"\xff" * 100), wrong, "63 bits")
    yield Case("name not UTF-8", raw_header(*tree([b"\xff\xfe"])), wrong, "not UTF-8")
    yield from names()
    yield Case("unknown kind", named(b"\x09"), wrong, "kind 9 is unknown")
    yield Case("kind 0", named(b"\x00"), wrong, "kind 0 is unknown")
    rank = named(b"\x03\xff")
    yield Case("255 dimensions", rank, wrong, "255 dimensions, at most 16")
    long_number = named(b"\x03\x01", b"\x80\x00")
    yield Case("a number too long", long_number, wrong, "shortest form")
    dtype = named(b"\x03\x01", 3, b"\x63\x00")
    yield Case("unknown type", dtype, wrong, "dtype 99 is unknown")
    yield Case("ends early", named(b"\x03\x01"), wrong, "0 bytes left")
    for story, record, message in (
        ("NaN", '{"a":NaN}', "NaN is not a number"),
        ("infinite", '{"a":1e999}', "out of bounds"),
        ("duplicate key", '{"a":1,"a":2}', "a key appears twice"),
        ("deep nesting", '{"a":' * 900 + "1" + "}" * 900, "nests deeper|recursion"),
        ("a list", "[1]", "not a JSON object"),
        ("not JSON", "{", "is not JSON"),
        ("a huge integer", '{"a":' + "9" * 5000 + "}", "does not fit 64 bits"),
        ("an integer of 65 bits", '{"a":18446744073709551616}', "does not fit 64 bits"),
        ("a huge number", '{"a":' + "9" * 900_000 + ".0}", "out of bounds"),
        ("half a pair", '{"a":"\\ud800"}', "half of a surrogate pair"),
        ("an escaped duplicate", '{"a":1,"\\u0061":2}', "a key appears twice"),
    ):
        for place, name in enumerate(("architecture", "training", "metadata")):
            data = made([fill()], header=partial(_with_record, place, record))
            yield Case(f"{name} with {story}", data, wrong, f"^{name}.*({message})")
    for story, record in (("a number", '{"a":1}'), ("nesting", '{"a":{"b":"c"}}')):
        data = made([fill()], header=partial(_with_record, 2, record))
        yield Case(f"metadata with {story}", data, wrong, "a value that is not text")
    long = '{"a":"' + "x" * (1 << 20) + '"}'
    data = made([fill()], header=partial(_with_record, 0, long))
    yield Case("a record of 1 MB", data, wrong, "is 1048584, at most 1048576")
    data = made([fill()], header=partial(_with_record, 2, long * 4))
    yield Case("metadata of 4 MB", data, wrong, "is 4194336, at most 4194304")


def names() -> Iterator[Case]:
    wrong = lnx.FormatError

    def case(story, message, *nodes):
        return Case(story, raw_header(*tree(*nodes)), wrong, message)

    million = raw_header(1, 1_000_000, bytes(1_000_000))
    yield Case("a million tensors", million, wrong, "is 1000000, at most 32768")
    many = raw_header(40_000, bytes(40_000))
    yield Case("40,000 nodes", many, wrong, "is 40000, at most 32768")
    yield Case("no root", raw_header(0), wrong, "at least 1")
    long = raw_header(1, 1, 0, 1 << 20, bytes(1 << 20))
    yield Case("a name of 1 MB", long, wrong, "is 1048576, at most 1024")
    rude = "\x1b]0;\n" * 200
    yield case("two tensors of a name", "two tensors are named 'x'", ["x", "x"])
    message = r"named '\\x1b\]0;\\n.*\.\.\..*\\n'$"
    yield case("two rude names", message, [rude, rude])
    yield case("one name, two ways", "named 'a.b'", ["b", "c"], ["a.b", ("a", 1)])
    yield case("a node in itself", "leads to a later", [("a", 1), "b"], [("c", 1)])
    later = [[("a", 2), "b"], ["c", "d"], [("e", 1), ("f", 2)]]
    yield case("a node in a later one", "leads to a later", *later)
    yield case("no such node", "child is 7, at most 1", ["a", "b"], [("c", 7)])
    yield case("an unused node", "not used", ["a", "b"], ["c"])
    yield case("a node of one key", "less than 2 keys", ["a"], [("b", 1)])
    yield case("a node of none", "less than 2 keys", [], [("b", 1)])
    doubled = [["a", "b"], *([("a", i), ("b", i)] for i in range(1, 60))]
    yield case("2**60 tensors", "32768 tensors|65536 tensors", *doubled)
    part = "n" * 999
    deep = [["a", "b"], [(part, 1), "c"], [(part, 2)]]
    yield case("a name of 2 kB", "a tensor name of 2001 bytes", *deep)


def _with_record(place, text, header):
    """Write a header of which one record is any text."""
    plain = write_header(header)
    if not plain.endswith(bytes(3)):
        raise AssertionError("three empty records end a header")
    texts = ["", "", ""]
    texts[place] = text
    return plain[:-3] + written(*texts)


def tensors() -> Iterator[Case]:
    wrong = lnx.FormatError
    huge = fill(shape=(1 << 40, 1 << 40, 0))
    yield Case("product overflow", made([huge]), wrong, "elements is too large")
    wide = fill(shape=(1 << 49,))
    yield Case("dimension of 2**49", made([wide]), wrong, "at most 281474976710656")
    limit = made([fill(shape=(1 << 37,))])
    yield Case("a tensor of 128 GiB", limit, lnx.LimitError, "137438953472 bytes")
    many = made([fill(str(i), (1 << 33,)) for i in range(9)])
    yield Case("tensors of 72 GiB", many, lnx.LimitError, "77309411328 bytes")
    for target, story in ((0, "itself"), (1, "a later one"), (7, "none")):
        looped = made([AliasRecord("a", target), fill()])
        yield Case(f"alias to {story}", looped, wrong, "not an earlier tensor")
    chain = made([fill(), AliasRecord("a", 0), AliasRecord("b", 1)])
    yield Case("alias to an alias", chain, wrong, "not an earlier tensor")
    few = made([exact()], [SINGLE], [], ((), (), [chunk(1)]))
    yield Case("chunks of too few rows", few, wrong, "chunks of exact hold 1 of 2 rows")
    more = made([exact()], [SINGLE], [], ((), (), [chunk(2), chunk(1)]))
    yield Case("chunks of too many rows", more, wrong, "hold 3 of 2 rows")
    none = made([exact()], [SINGLE], [], ((), (), [chunk(2), chunk(0)]))
    yield Case("a chunk of no rows", none, wrong, "at least 1")
    free = exact((50_000,))
    cut = ((), (), [chunk(1)] * 50_000)
    yield Case("50,000 chunks", made([free], [SINGLE], [], cut), wrong, "for 0 bytes")
    body = bytes(129_000)
    cut = ((), (), [chunk(129, body[:129])] * 1000)
    small = made([exact((129_000,), (0,))], [], [], cut, body)
    yield Case("1,000 chunks", small, wrong, "1000 chunks of exact for 129000 bytes")
    large = ((), (), [chunk(200_000)])
    chunky = made([exact((200_000,))], [SINGLE], [], large)
    yield Case("a chunk too large", chunky, wrong, "chunk 0 of exact holds 200000")
    far = made([exact()], [PAIR], [], ((), (), [chunk(2, b"", 1 << 30)]))
    yield Case("a stream past the end", far, wrong, "parts of|is")
    short = made([exact((8,), (1, 1), DType.F32, DType.I16)], [PAIR])
    yield Case("float as integer", short, wrong, "F32 stored as I16")
    half = made([exact((8,), (1, 1), DType.F16, DType.F16, True)], [PAIR])
    yield Case("half floats turned", half, wrong, "F16 stored as F16, turned")
    whole = made([exact((8,), (1,), turned=True)], [PAIR])
    yield Case("integers turned", whole, wrong, "U8 stored as U8, turned")
    odd = made([latent((5,), 2, tables=(1, 1), zero=2)], [SINGLE], ONE)
    yield Case("slices that do not divide", odd, wrong, "do not divide 5 elements")
    zero = made([latent(zero=5)], [SINGLE], ONE)
    yield Case("more zero slices than slices", zero, wrong, "5 of 4 slices")
    count = made([latent(nonzero=9, zero=0)], [SINGLE], ONE)
    yield Case("more values than weights", count, wrong, "9 non-zero weights")
    grid = made([latent((2, 2), rows=3)], [SINGLE], ONE)
    yield Case("more zero rows than rows", grid, wrong, "3 of 2 rows")
    flat = made([latent(columns=1)], [SINGLE], ONE)
    yield Case("columns of one dimension", flat, wrong, "1 of 0 columns")
    number = FixedRecord("x", (2,), 0, 1)
    far = Table(np.array([0, 1 << 15]), np.array([512, 512]), 10)
    big = made([number], [far], fixed=[chunk(2)])
    yield Case("fixed point of 17 bits", big, wrong, "outside of -32767 to 32767")
    none = made([number], [], fixed=[chunk(2)])
    yield Case("fixed point, no table", none, wrong, "has no table 1")
    few = made([number], [SINGLE], fixed=[chunk(1)])
    yield Case("too few numbers", few, wrong, "chunks of fixed hold 1 of 2 rows")
    tiny = made([replace(number, exponent=-101)], [SINGLE], fixed=[chunk(2)])
    yield Case("an exponent of -101", tiny, wrong, "exponent is 201, at most 200")
    raw = made([replace(number, table=0)], [SINGLE], fixed=[chunk(2)])
    yield Case("raw fixed point", raw, wrong, "table id is 0, at least 1")
    noise = made([number], [SINGLE], [], fixed=[chunk(2, bytes(4), 1)], body=bytes(4))
    yield Case("words for fixed point", noise, lnx.CorruptError, "that take none")
    yield from _followers()
    wide = latent((0,), 1024, tables=(1,) * 1024, zero=0)
    planes = [replace(wide, name=str(i)) for i in range(400)]
    yield Case("too many planes", made(planes, [SINGLE], ONE), wrong, "planes, at most")
    nothing = latent((0, 3), tables=(), zero=0, scale=1)
    empty = made([nothing], [SINGLE], ONE, scales=[chunk(4)])
    yield Case("scales of nothing", empty, wrong, "scales of a tensor without elements")
    kind = made([latent(dtype=DType.I32)], [SINGLE], ONE)
    yield Case("latents of integers", kind, wrong, "latents of type I32")
    both = made([latent((2, 2), 2, mask=1, tables=(), zero=2, scale=1)], [PAIR], ONE)
    yield Case("mask and scales", both, wrong, "both a mask and scales")
    boolean = fill(dtype=DType.BOOL, element=b"\2")
    yield Case("a bool of 2", made([boolean]), wrong, "neither 0 nor 1")
    none = fill(shape=(0,), dtype=DType.BOOL, element=b"\2")
    yield Case("a bool of 2, no elements", made([none]), wrong, "neither 0 nor 1")
    rows = 8192
    wide = latent((rows, 1024), 1024, tables=(1,) * 1024, nonzero=rows << 10, zero=0)
    cut = ((), [chunk(128)] * (rows // 128), ())
    slow = made([wide], [SINGLE], [np.ones((1024, 1024), np.float32)], cut)
    yield Case("8 G products of 4 MB", slow, wrong, "8589934592 together, at most")


def _followers() -> Iterator[Case]:
    """Fixed-point tensors that leave out zero rows of others."""
    wrong = lnx.FormatError
    number = FixedRecord("x", (2,), 0, 1, back=1)
    far = made([replace(number, back=2)], [SINGLE], fixed=[chunk(2)])
    yield Case("follows nothing", far, wrong, "'x' follows what has no scales")
    same = made([fill("y"), number], [SINGLE], fixed=[chunk(2)])
    yield Case("follows a fill", same, wrong, "follows what has no scales")
    plain = made([latent((2, 3), zero=6), number], [SINGLE], ONE, fixed=[chunk(2)])
    yield Case("follows planes", plain, wrong, "follows what has no scales")
    record = latent((2, 3), tables=(), zero=6, rows=2, columns=3, scale=1)
    parts = {
        "class_tables": ClassTables(16, (1,)), "scales": [chunk(6)],
        "chunks": ((), [chunk(6)], ()),
    }  # fmt: skip
    three = replace(number, shape=(3,))
    more = made([record, three], [SINGLE], ONE, fixed=[chunk(3)], **parts)
    yield Case("follows fewer rows", more, wrong, "of 3 elements follows 2 rows")
    flat = latent((6,), tables=(), zero=6, scale=1)
    for shape in ((0,), (3, 0), (6,)):
        empty = replace(number, shape=shape)
        parts["scales"] = [chunk(8)]
        none = made([flat, empty], [SINGLE], ONE, **parts)
        yield Case(f"{shape} follows one dimension", none, wrong, "follows 0 rows")
    parts["scales"] = [chunk(6)]
    unlike = made([record, number], [SINGLE], ONE, **parts)
    yield Case("zero rows of no scale", unlike, wrong, "scales of zero rows are not as")


def tables() -> Iterator[Case]:
    wrong = lnx.FormatError

    def block(*steps):
        return made([], plain_block(written(*steps)))

    yield Case("frequencies over the sum", block(1, 10, 2, 0, 0, 1023), wrong, "sum to")
    yield Case("precision 34", block(1, 34, 1, 0), wrong, "at most 32")
    yield Case("precision 20", block(1, 20, 1, 0), wrong, "table has precision 4")
    yield Case("precision 2", block(1, 2, 1, 0), wrong, "at least 10")
    yield Case("no symbols", block(1, 10, 0, 0), wrong, "at least 1")
    yield Case("more symbols than slots", block(1, 10, 1025, 0), wrong, "at most 1024")
    yield Case("20,000 symbols", block(1, 16, 20_000, 0), wrong, "at most 16384")
    yield Case("symbols not there", block(1, 16, 9000, 0), wrong, "announced")
    yield from geometric(block)
    far = block(1, 10, 2, 2, (1 << 32) - 1, 0)
    yield Case("symbols past 32 bits", far, wrong, "outside of 32 bits")
    low = block(1, 10, 1, (1 << 32) - 1)
    yield Case("a last symbol", low, lnx.LnxError, "match their hash")
    yield Case("513 tables", block(513), wrong, "at most 512")
    yield Case("bytes behind the tables", block(0, 0), wrong, "too many at the end")
    yield Case("a table cut", block(1, 10), wrong, "are left")
    wide = Table(np.arange(16384), np.full(16384, 4), 16)
    yield Case("too many symbols together", made([], [wide] * 60), wrong, "hold over")
    one = ((), (), [chunk(2)])
    yield Case("no table", made([exact()], [], [], one), wrong, "has no table 1")
    odd = Table(np.array([0, 300]), np.array([512, 512]), 10)
    bytes_ = made([exact()], [odd], [], one)
    yield Case("a byte of 300", bytes_, wrong, "outside of 0 to 255")
    masked = latent((8,), 2, mask=1, tables=(1, 1), zero=4)
    three = Table(np.array([0, 2]), np.array([512, 512]), 10)
    mask = made([masked], [three], ONE, ([chunk(4)], (), ()))
    yield Case("a mask of 2", mask, wrong, "outside of 0 to 1")


def geometric(block) -> Iterator[Case]:
    wrong = lnx.FormatError
    shape = b"\x40\x80\x80"
    yield Case("precision 9", block(1, 25, 2, 0, 0, shape), wrong, "precision 9")
    yield Case("precision 17", block(1, 33, 2, 0, 0, shape), wrong, "at most 32")
    yield Case("no symbols in a shape", block(1, 26, 0, 0), wrong, "at least 1")
    many = block(1, 26, 1025, 0, 0, shape)
    yield Case("1,025 symbols in a shape", many, wrong, "1025, at most 1024")
    yield Case("a peak outside", block(1, 26, 2, 0, 2, shape), wrong, "is 2, at most 1")
    yield Case("a shape cut", block(1, 26, 2, 0, 0, b"\x40"), wrong, "needs 3 bytes")
    heavy = block(1, 26, 2, 0, 0, b"\xc0\x80\x80")
    yield Case("too heavy a zero", heavy, wrong, "zeros is 192, at most 191")
    last = block(1, 26, 3, (1 << 32) - 4, 0, shape)
    yield Case("a shape past 32 bits", last, wrong, "outside of 32 bits")
    most = written(*[26, 1024, 0, 0, shape] * 300)
    yield Case("shapes of 307,200 symbols", block(300, most), wrong, "hold over")


def streams() -> Iterator[Case]:
    secret = b"24 bytes that say things"
    extra = ((), (), [chunk(2, secret, 6)])
    data = made([exact()], [PAIR], [], extra, secret)
    yield Case("words left over", data, lnx.CorruptError, "left over")
    data = made([exact()], [SINGLE], [], extra, secret)
    yield Case("words for nothing", data, lnx.CorruptError, "that take none")
    ones = b"\xff" * 400
    skewed = Table(np.array([0, 1]), np.array([1, 1023]), 10)
    shape = ((), (), [chunk(2000, ones, 100)])
    data = made([exact((2000,))], [skewed], [], shape, ones)
    yield Case("all 0xff", data, lnx.CorruptError, "decode|left over|hash")
    shape = ((), (), [chunk(2000)])
    data = made([exact((2000,))], [PAIR], [], shape)
    yield Case("no words at all", data, lnx.CorruptError, "hash|decode")
    wrong = ((), (), [Chunk(2, 0, bytes(4))])
    data = made([exact()], [SINGLE], [], wrong)
    yield Case("a chunk's hash", data, lnx.CorruptError, "chunk 0 of exact is damaged")
    data = made([exact()], [SINGLE], [], ((), (), [chunk(2)]))
    yield Case("the hash of integers", data, lnx.CorruptError, "match their hash")
    rows = ((), [chunk(4)], ())
    count = latent(nonzero=2, zero=2)
    data = made([count], [SINGLE], ONE, rows)
    yield Case("fewer values than announced", data, lnx.FormatError, "not as announced")
    yield Case("tables changed", _changed_tables(), lnx.CorruptError, "tables or dec")
    yield Case("streams swapped", _swapped(), lnx.CorruptError, "chunk 0 of latents")


def _changed_tables():
    """Flip a bit of the tables and make the file's hash right again."""
    sizes = read_frame(SMALL).sizes
    at = sizes.prefix + sizes.header
    data = bytearray(SMALL[: -spec.FILE_DIGEST_BYTES])
    data[at] ^= 1
    return finished(bytes(data))


def _swapped():
    """Exchange the streams of two tensors of one shape."""
    one = latents(40, 9, 1)
    two = np.random.default_rng(0).permutation(one)
    pair = (lnx.Latent("a", (40, 9), one, 0), lnx.Latent("b", (40, 9), two, 0))
    swapped = (lnx.Latent("a", (40, 9), two, 0), lnx.Latent("b", (40, 9), one, 0))
    decoders = (np.eye(9, dtype=np.float32),)
    true = lnx.dumps(lnx.Container(pair, decoders))
    false = lnx.dumps(lnx.Container(swapped, decoders))
    places = []
    for data in (true, false):
        end = len(data) - spec.FILE_DIGEST_BYTES
        places.append((end - read_frame(data).sizes.latents, end))
    (start, _), (other, end) = places
    return finished(true[:start] + false[other:end])


def decoders() -> Iterator[Case]:
    wrong = lnx.FormatError
    rows = ((), [chunk(4)], ())

    def block(*steps):
        return made([latent()], [SINGLE], plain_block(written(*steps)), rows)

    nan = np.array([np.nan], "<f4").tobytes()
    infinite = np.array([np.inf], "<f2").tobytes()
    yield Case("a decoder of NaN", block(1, 1, 4, nan), wrong, "NaN or Inf")
    yield Case("a decoder of Inf", block(1, 1, 2, infinite), wrong, "NaN or Inf")
    yield Case("a decoder of size 0", block(1, 0, 4), wrong, "at least 1")
    yield Case("a decoder of size 2000", block(1, 2000, 4), wrong, "at most 1024")
    yield Case("an unknown form", block(1, 1, 8, b"123"), wrong, "is 8, at most 7")
    huge = np.array([3e38], "<f4").tobytes()
    yield Case("multiples too large", block(1, 1, 7, huge, b"\7"), wrong, "NaN or Inf")
    yield Case("multiples of NaN", block(1, 1, 7, nan, b"\1"), wrong, "NaN or Inf")
    yield Case("multiples cut", block(1, 2, 7, huge, b"\7"), wrong, "needs 4 bytes")
    yield Case("a decoder cut", block(1, 2, 4, nan), wrong, "are left")
    yield Case("no decoder", block(0), wrong, "there is no decoder 0")
    large = [np.zeros((1024, 1024), np.float32)] * 5
    yield Case("decoders of 5 M numbers", made([], [], large), wrong, "decoders hold")
    two = np.eye(2, dtype=np.float32)
    nine = made([latent()], [SINGLE], [two], rows)
    yield Case("a decoder of size 2", nine, wrong, "of size 2 for slices of 1")
    top = np.full((1, 1), 3e38, np.float32)
    both = Table(np.array([1000]), np.array([1024]), 10)
    full = made([latent(nonzero=4, zero=0)], [both], [top], rows)
    yield Case("weights that overflow", full, wrong, "overflow F32")
    short = made([latent(mask=1)], [SINGLE], ONE)
    yield Case("a mask over single weights", short, wrong, "slices of length 1")
    masked = latent((8,), 2, mask=1, tables=(1, 1), zero=2, nonzero=2)
    rows = ([chunk(4)], [chunk(2)], ())
    dead = made([masked], [SINGLE], ONE, rows)
    yield Case("a mask with too few ones", dead, wrong, "mask does not fit")
    alive = Table(np.array([1]), np.array([1024]), 10)
    full = made([masked], [alive], ONE, rows)
    yield Case("a mask with too many ones", full, wrong, "mask does not fit")


def cases() -> list[Case]:
    """Return all hostile files."""
    return [
        *framing(), *headers(), *tensors(), *tables(), *streams(), *decoders(),
        *classes(),
    ]  # fmt: skip
