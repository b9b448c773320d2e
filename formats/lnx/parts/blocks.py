"""Tables and decoders as packed blocks, between the header and the sections."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.binary.wire import Reader, Writer, digest, pack, unpack
from lnx.coding.tables import Table, read_tables, write_tables
from lnx.errors import ContentError, FormatError
from lnx.parts.records import PackedBlock
from lnx.spec import Form
from lnx.tensors.cosine import cosine_matrix, cosine_numbers
from lnx.tensors.multiples import from_multiples, to_multiples
from lnx.tensors.reflections import is_reflections, make_reflections


@dataclass(frozen=True)
class Block:
    """A packed block: its entry in the header, and its stored bytes."""

    entry: PackedBlock
    stored: bytes


def _pack_block(plain: bytes) -> Block:
    packing, stored = pack(plain)
    if len(plain) > spec.MAX_BLOCK_BYTES:
        raise ContentError(f"{len(plain)} bytes of tables or decoders are too many")
    return Block(PackedBlock(packing, len(stored), len(plain)), stored)


def pack_tables(tables: Sequence[Table]) -> Block:
    """Pack all tables of a file."""
    writer = Writer()
    write_tables(writer, tables)
    return _pack_block(writer.getvalue())


def pack_decoders(decoders: Sequence[NDArray[np.float32]]) -> Block:
    """Write size and form of each decoder, then the numbers of all."""
    writer = Writer()
    writer.varint(len(decoders))
    stored = []
    for decoder in decoders:
        if is_reflections(decoder):
            writer.varints([decoder.shape[1], Form.REFLECTIONS, len(decoder) - 1])
            step, vectors = decoder[0, 0].astype("<f4"), decoder[1:].astype(np.int8)
            stored.append(step.tobytes() + vectors.tobytes())
            continue
        form, data = _shortest_form(decoder)
        writer.varints([decoder.shape[0], form])
        stored.append(data)
    for data in stored:
        writer.raw(data)
    return _pack_block(writer.getvalue())


def _shortest_form(decoder: NDArray[np.float32]) -> tuple[Form, bytes]:
    """Return the form of a square that takes the fewest bytes, and its numbers."""
    numbers, forms = cosine_numbers(decoder), (Form.COSINE_F16, Form.COSINE_F32)
    if numbers is None:
        whole = to_multiples(decoder) if decoder.size > 1 else None
        if whole is not None:
            step, multiples = whole
            return Form.MATRIX_I8, step.astype("<f4").tobytes() + multiples.tobytes()
        numbers, forms = decoder, (Form.MATRIX_F16, Form.MATRIX_F32)
    with np.errstate(all="ignore"):
        short = numbers.astype("<f2")
    if bool((short.astype(np.float32) == numbers).all()):
        return forms[0], short.tobytes()
    return forms[1], numbers.astype("<f4").tobytes()


def unpack_decoders(
    block: PackedBlock, stored: bytes
) -> tuple[NDArray[np.float32], ...]:
    """Read all decoders of a file; raises FormatError."""
    reader = Reader(unpack("decoders", block.packing, stored, block.plain))
    count = reader.varint("number of decoders", spec.MAX_DECODERS)
    forms = [_read_form(reader) for _ in range(count)]
    numbers = sum(size * rows for size, rows, _ in forms)
    if numbers > spec.MAX_DECODER_NUMBERS:
        raise FormatError(f"decoders hold {numbers} numbers")
    decoders = tuple(_read_decoder(reader, *form) for form in forms)
    reader.end("the decoders")
    return decoders


def _read_form(reader: Reader) -> tuple[int, int, Form]:
    """Return the columns and rows of a decoder, and its form."""
    size = reader.varint("size of a decoder", spec.MAX_SLICE, least=1)
    form = Form(reader.varint("form of a decoder", max(Form), least=min(Form)))
    if form is not Form.REFLECTIONS:
        return size, size, form
    most = max(0, min(spec.MAX_REFLECTIONS, size - 2))
    return size, 1 + reader.varint("number of reflections", most, least=1), form


def _read_decoder(
    reader: Reader, size: int, rows: int, form: Form
) -> NDArray[np.float32]:
    if form is Form.REFLECTIONS:
        return _read_reflections(reader, size, rows)
    if form is Form.MATRIX_I8:
        (step,) = _read_floats(reader, 1, 4)
        multiples = np.frombuffer(reader.raw("decoder", size * size), np.int8)
        return _finite(from_multiples(step, multiples).reshape(size, size))
    is_cosine = form in (Form.COSINE_F16, Form.COSINE_F32)
    count = size + 2 if is_cosine else size * size
    width = 2 if form in (Form.MATRIX_F16, Form.COSINE_F16) else 4
    numbers = _read_floats(reader, count, width)
    return cosine_matrix(numbers) if is_cosine else numbers.reshape(size, size)


def _read_reflections(reader: Reader, size: int, rows: int) -> NDArray[np.float32]:
    (step,) = _read_floats(reader, 1, 4)
    raw = reader.raw("decoder", (rows - 1) * size)
    vectors = np.frombuffer(raw, np.int8).reshape(rows - 1, size)
    if not vectors.any(axis=1).all():
        raise FormatError("a reflection of a decoder is all zero")
    return make_reflections(step, vectors)


def _read_floats(reader: Reader, count: int, width: int) -> NDArray[np.float32]:
    raw = reader.raw("decoder", count * width)
    return _finite(np.frombuffer(raw, f"<f{width}").astype(np.float32))


def _finite(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(numbers).all():
        raise FormatError("a decoder holds NaN or Inf")
    return numbers


def blocks_digest(tables: bytes, decoders: bytes) -> bytes:
    """Return the hash of the stored bytes of both blocks."""
    return digest(spec.BLOCKS_DIGEST_BYTES, tables, decoders)


def unpack_tables(block: PackedBlock, stored: bytes) -> tuple[Table, ...]:
    """Read all tables of a file; raises FormatError."""
    reader = Reader(unpack("tables", block.packing, stored, block.plain))
    tables = read_tables(reader)
    reader.end("the tables")
    return tables
