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
    """Write size and float width of each decoder, then the numbers of all."""
    writer = Writer()
    writer.varint(len(decoders))
    numbers = []
    for decoder in decoders:
        with np.errstate(all="ignore"):
            short = decoder.astype("<f2")
        fits = bool((short.astype(np.float32) == decoder).all())
        writer.varints([decoder.shape[0], 2 if fits else 4])
        numbers.append((short if fits else decoder.astype("<f4")).tobytes())
    for data in numbers:
        writer.raw(data)
    return _pack_block(writer.getvalue())


def unpack_decoders(
    block: PackedBlock, stored: bytes
) -> tuple[NDArray[np.float32], ...]:
    """Read all decoders of a file; raises FormatError."""
    reader = Reader(unpack("decoders", block.packing, stored, block.plain))
    count = reader.varint("number of decoders", spec.MAX_DECODERS)
    forms = [
        (
            reader.varint("size of a decoder", spec.MAX_SLICE, least=1),
            reader.varint("float width", 4, least=2),
        )
        for _ in range(count)
    ]
    numbers = sum(size * size for size, _ in forms)
    if numbers > spec.MAX_DECODER_NUMBERS:
        raise FormatError(f"decoders hold {numbers} numbers")
    decoders = []
    for size, width in forms:
        if width == 3:
            raise FormatError("float width 3 is unknown")
        raw = reader.raw("decoder", size * size * width)
        decoder = np.frombuffer(raw, f"<f{width}").astype(np.float32)
        if not np.isfinite(decoder).all():
            raise FormatError("a decoder holds NaN or Inf")
        decoders.append(decoder.reshape(size, size))
    reader.end("the decoders")
    return tuple(decoders)


def blocks_digest(tables: bytes, decoders: bytes) -> bytes:
    """Return the hash of the stored bytes of both blocks."""
    return digest(spec.BLOCKS_DIGEST_BYTES, tables, decoders)


def unpack_tables(block: PackedBlock, stored: bytes) -> tuple[Table, ...]:
    """Read all tables of a file; raises FormatError."""
    reader = Reader(unpack("tables", block.packing, stored, block.plain))
    tables = read_tables(reader)
    reader.end("the tables")
    return tables
