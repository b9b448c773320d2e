"""Opening a file: header, tables and decoders read, every hash of them checked.

file = prefix, header, tables, decoders, sections, file digest
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.binary.source import Source, blocks
from lnx.binary.wire import digest
from lnx.errors import CorruptError, FormatError, printable
from lnx.parts.blocks import blocks_digest, unpack_decoders, unpack_tables
from lnx.parts.bounds import check_budget, decoded_bytes
from lnx.parts.prefix import Frame, read_head
from lnx.parts.records import Chunk, Header
from lnx.parts.sections import (
    SCALES,
    SECTIONS,
    Layout,
    Piece,
    SectionKind,
    Tables,
    check_cells,
    check_tables,
    layouts_of,
    pieces,
    stored_bytes,
)

Decoders = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, eq=False)
class Opened:
    """A file whose header was read and checked.

    Attributes:
        starts: where each part starts, in bytes.
    """

    source: Source
    frame: Frame
    starts: dict[str, int]
    tables: Tables
    decoders: Decoders

    @property
    def header(self) -> Header:
        """The file's header."""
        return self.frame.header


@dataclass(frozen=True)
class StoredChunk:
    """A chunk: its number, place in the file, entry in the header, and contents."""

    number: int
    start: int
    stop: int
    chunk: Chunk
    parts: tuple[Piece, ...]


def open_source(
    source: Source,
    *,
    max_size: int,
    names: Collection[str] | None = None,
    copies: bool = False,
    frame: Frame | None = None,
) -> Opened:
    """Read all that decoding needs; raises FormatError and LimitError.

    The tensors of some names, or all of them, must fit into max_size bytes; with copies
    an alias counts as much as its target. Without names the hash of the whole file is
    checked, so that nothing is decoded from a file that is damaged anywhere. A frame
    is what `read_head` gave before.
    """
    if frame is None:
        frame = read_head(source)
    header = frame.header
    size = decoded_bytes(header.records, names, copies=copies)
    if names is not None:  # scales of all tensors are read, whatever is asked for
        size += sum(layout.rows for layout in layouts_of(SCALES, header.records))
    check_budget(size, max_size)
    starts = _starts(frame)
    if names is None:
        _check_whole(source, frame, starts)
    stored = _read_blocks(source, frame, starts)
    tables = unpack_tables(header.tables, stored[0])
    decoders = unpack_decoders(header.decoders, stored[1])
    missing = max(header.class_tables.ids, default=0)
    if missing > len(tables):
        raise FormatError(f"a scale class has no table {missing}")
    for kind in SECTIONS:
        layouts = layouts_of(kind, header.records)
        check_tables(kind, layouts, tables, header.class_tables.ids)
    return Opened(source, frame, starts, tables, decoders)


def stored_chunks(
    kind: SectionKind, header: Header, layouts: Sequence[Layout], start: int
) -> list[StoredChunk]:
    """Return where each chunk of a section is, and what it holds."""
    chunks = header.chunks(kind.name)
    contents = pieces(layouts, [chunk.rows for chunk in chunks])
    check_cells(kind, layouts, contents)
    places = []
    for number, (chunk, parts) in enumerate(zip(chunks, contents, strict=True)):
        stop = start + stored_bytes(chunk, layouts, parts)
        places.append(StoredChunk(number, start, stop, chunk, parts))
        start = stop
    return places


def read_chunk(
    source: Source, kind: SectionKind, layouts: Sequence[Layout], place: StoredChunk
) -> bytes:
    """Return the bytes of a chunk; raises CorruptError where its hash differs."""
    data = source.read(place.start, place.stop)
    if digest(spec.CHUNK_DIGEST_BYTES, data) != place.chunk.digest:
        names = tuple(dict.fromkeys(layouts[p.matrix].name for p in place.parts))
        raise CorruptError.at(
            f"chunk {place.number} of {kind.name} is damaged, {_names(names)},"
            f" bytes {place.start} to {place.stop} of the file",
            place.start,
            names,
        )
    return data


def _starts(frame: Frame) -> dict[str, int]:
    """Return where each part behind the header starts, and the digest of the file."""
    sizes = frame.sizes
    at, starts = sizes.prefix + sizes.header, {}
    for name in ("tables", "decoders", *(kind.name for kind in SECTIONS), "digest"):
        starts[name] = at
        at += getattr(sizes, name)
    return starts


def _read_blocks(
    source: Source, frame: Frame, starts: dict[str, int]
) -> tuple[bytes, bytes]:
    """Return the stored tables and decoders; raises CorruptError."""
    start, middle, stop = starts["tables"], starts["decoders"], starts[SECTIONS[0].name]
    tables, decoders = source.read(start, middle), source.read(middle, stop)
    if blocks_digest(tables, decoders) != frame.header.blocks_digest:
        raise CorruptError.at("tables or decoders are damaged: hash differs", start)
    return tables, decoders


def _check_whole(source: Source, frame: Frame, starts: dict[str, int]) -> None:
    """Check the hash of the file; where it differs, say which part is damaged."""
    state = hashlib.blake2b(digest_size=spec.FILE_DIGEST_BYTES)
    end = starts["digest"]
    for block in blocks(source, end):
        state.update(block)
    if state.digest() == source.read(end, source.size):
        return
    _read_blocks(source, frame, starts)
    for kind in SECTIONS:
        layouts = layouts_of(kind, frame.header.records)
        for place in stored_chunks(kind, frame.header, layouts, starts[kind.name]):
            read_chunk(source, kind, layouts, place)
    raise CorruptError.at("the file's hash differs: it was damaged", end)


def _names(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"tensor {printable(names[0])}"
    return f"tensors {printable(names[0])} to {printable(names[-1])}"
