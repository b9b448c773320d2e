"""A section: matrices of symbols, one a tensor, cut into chunks and coded.

Inside a chunk the columns are ordered by table id, then tensor, then column, so that
all symbols of one table are coded in one run. Columns under RAW_TABLE are bytes that
follow the coded words as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.entropy import decode, encode
from lnx.errors import CorruptError, FormatError, printable
from lnx.records import Chunk
from lnx.tables import PRICE_BITS, Table
from lnx.wire import digest

Symbols = NDArray[np.int32] | NDArray[np.uint8]

# What the end of a stream costs on average: the coder's last bits, then whole words.
STREAM_END_BITS = 32
MOST_CHUNKS = 1 << 15


@dataclass(frozen=True)
class SectionKind:
    """What a section may hold.

    Attributes:
        name: of the section, and of its fields.
        bounds: least and largest symbol.
        raw: whether columns may be stored raw.
        dtype: a type that holds the symbols.
    """

    name: str
    bounds: tuple[int, int]
    raw: bool
    dtype: type[np.int32] | type[np.uint8]


MASKS = SectionKind("masks", (0, 1), False, np.uint8)
LATENTS = SectionKind("latents", (-(1 << 31), (1 << 31) - 1), False, np.int32)
EXACT = SectionKind("exact", (0, 255), True, np.uint8)


@dataclass(frozen=True)
class Layout:
    """How one tensor appears in a section.

    Attributes:
        name: the tensor, for messages.
        rows: number of rows.
        tables: table id of each column.
    """

    name: str
    rows: int
    tables: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Matrix:
    """Symbols of one tensor in a section; (rows, columns) int32 or uint8."""

    layout: Layout
    symbols: Symbols


@dataclass(frozen=True)
class Piece:
    """Rows start to stop of the matrix at an index of its section."""

    matrix: int
    start: int
    stop: int


Tables = Sequence[Table]


def cut(layouts: Sequence[Layout], prices: Sequence[int]) -> list[int]:
    """Return the number of rows of each chunk; prices are per matrix, 2**-16 bits.

    Small tensors share a chunk, large ones are cut, so that the end of a stream stays
    a small part of it, and a chunk can be decoded in bounded time.
    """
    whole = max(spec.CHUNK_TARGET_BYTES, (sum(prices) >> PRICE_BITS + 3) // MOST_CHUNKS)
    target = whole * 8 << PRICE_BITS
    sizes: list[int] = []
    rows = filled = cells = 0
    for layout, price in zip(layouts, prices, strict=True):
        left = layout.rows
        while left:
            fits = -(-(target - filled) * layout.rows // max(price, 1))
            room = (spec.MAX_CHUNK_CELLS - cells) // len(layout.tables)
            take = min(left, max(fits, 1), room)
            rows += take
            left -= take
            cells += take * len(layout.tables)
            filled += price * take // layout.rows
            if filled >= target or left:
                sizes.append(rows)
                rows = filled = cells = 0
    return [*sizes, rows] if rows else sizes


def pieces(layouts: Sequence[Layout], sizes: Sequence[int]) -> list[list[Piece]]:
    """Return what each chunk holds; sizes must sum to the rows of the layouts."""
    matrix = start = 0
    chunks = []
    for size in sizes:
        chunk = []
        while size:
            take = min(size, layouts[matrix].rows - start)
            if take:
                chunk.append(Piece(matrix, start, start + take))
            size -= take
            start += take
            if start == layouts[matrix].rows:
                matrix, start = matrix + 1, 0
        chunks.append(chunk)
    return chunks


def price(matrix: Matrix, tables: Tables) -> int:
    """Return the ideal cost of a matrix under its tables, in 2**-16 bits."""
    total = 0
    for column, table_id in enumerate(matrix.layout.tables):
        symbols = matrix.symbols[:, column]
        if table_id == spec.RAW_TABLE:
            total += len(symbols) * 8 << PRICE_BITS
        elif len(symbols):
            table = tables[table_id - 1]
            indices = table.indices(symbols.astype(np.int32))
            counts = np.bincount(indices, minlength=len(table.values))
            total += int((counts * table.prices()).sum())
    return total


def encode_section(
    matrices: Sequence[Matrix], tables: Tables, sizes: Sequence[int]
) -> tuple[list[Chunk], bytes]:
    """Return the chunks of a section and their bytes, one after the other."""
    layouts = [matrix.layout for matrix in matrices]
    messages, raws = [], []
    for parts in pieces(layouts, sizes):
        raw, groups = _by_table(layouts, parts)
        messages.append(
            [
                (
                    tables[table_id - 1],
                    np.concatenate([_cut(matrices, c) for c in cells]),
                )
                for table_id, cells in groups
            ]
        )
        raws.append([_cut(matrices, cell).astype(np.uint8).tobytes() for cell in raw])
    chunks, stored = [], []
    for size, words, raw_bytes in zip(sizes, encode(messages), raws, strict=True):
        data = words + b"".join(raw_bytes)
        check = digest(spec.CHUNK_DIGEST_BYTES, data)
        chunks.append(Chunk(size, len(words) // spec.WORD_BYTES, check))
        stored.append(data)
    return chunks, b"".join(stored)


def decode_section(
    kind: SectionKind,
    data: bytes,
    layouts: Sequence[Layout],
    tables: Tables,
    chunks: Sequence[Chunk],
) -> list[Symbols]:
    """Return the symbols of each matrix, (rows, columns).

    Tables must have been checked. Raises CorruptError where a chunk's hash differs,
    naming the tensors in it.
    """
    held = pieces(layouts, [chunk.rows for chunk in chunks])
    messages, raws = [], []
    at = 0
    for number, (chunk, parts) in enumerate(zip(chunks, held, strict=True)):
        size = stored_bytes(chunk, layouts, parts)
        stored = data[at : at + size]
        if digest(spec.CHUNK_DIGEST_BYTES, stored) != chunk.digest:
            raise CorruptError(
                f"chunk {number} of {kind.name} is damaged,"
                f" {_names(layouts, parts)}, bytes {at} to {at + size} of the section"
            )
        at += size
        _, groups = _by_table(layouts, parts)
        words = chunk.words * spec.WORD_BYTES
        runs = [(tables[table_id - 1], _count(cells)) for table_id, cells in groups]
        messages.append((stored[:words], runs))
        raws.append(np.frombuffer(stored, np.uint8, offset=words))
    symbols = [_blank(layout, kind) for layout in layouts]
    for parts, runs_found, raw_found in zip(held, decode(messages), raws, strict=True):
        raw, groups = _by_table(layouts, parts)
        _place(raw, raw_found, symbols)
        for (_, cells), found in zip(groups, runs_found, strict=True):
            _place(cells, found, symbols)
    return symbols


def stored_bytes(
    chunk: Chunk, layouts: Sequence[Layout], parts: Sequence[Piece]
) -> int:
    """Return the length of a chunk in bytes: coded words, then raw columns."""
    raw = sum(
        (part.stop - part.start) * layouts[part.matrix].tables.count(spec.RAW_TABLE)
        for part in parts
    )
    return chunk.words * spec.WORD_BYTES + raw


def section_bytes(layouts: Sequence[Layout], chunks: Sequence[Chunk]) -> int:
    """Return the length of a section in bytes."""
    words = sum(chunk.words for chunk in chunks)
    raw = sum(x.rows * x.tables.count(spec.RAW_TABLE) for x in layouts)
    return words * spec.WORD_BYTES + raw


def check_tables(layouts: Sequence[Layout], tables: Tables, kind: SectionKind) -> None:
    """Raise FormatError unless every table exists and suits the section."""
    low, high = kind.bounds
    suits = [t.values[0] >= low and t.values[-1] <= high for t in tables]
    for layout in layouts:
        for table_id in layout.tables:
            if table_id == spec.RAW_TABLE and kind.raw:
                continue
            if not 1 <= table_id <= len(tables):
                raise FormatError(f"{printable(layout.name)} has no table {table_id}")
            if not suits[table_id - 1]:
                raise FormatError(
                    f"{printable(layout.name)} has table {table_id}"
                    f" with symbols outside of {low} to {high}"
                )


Cell = tuple[Piece, int]  # a piece and a column


def _by_table(
    layouts: Sequence[Layout], parts: Sequence[Piece]
) -> tuple[list[Cell], list[tuple[int, list[Cell]]]]:
    """Return the raw cells of a chunk, and (table id, cells) in coding order."""
    cells: dict[int, list[Cell]] = {}
    for part in parts:
        for column, table_id in enumerate(layouts[part.matrix].tables):
            cells.setdefault(table_id, []).append((part, column))
    raw = cells.pop(spec.RAW_TABLE, [])
    return raw, sorted(cells.items(), key=_table_id)


def _blank(layout: Layout, kind: SectionKind) -> Symbols:
    shape = (layout.rows, len(layout.tables))
    if kind.dtype is np.uint8:
        return np.empty(shape, np.uint8)
    return np.empty(shape, np.int32)


def _table_id(group: tuple[int, list[Cell]]) -> int:
    return group[0]


def _cut(matrices: Sequence[Matrix], cell: Cell) -> NDArray[np.int32]:
    part, column = cell
    block = matrices[part.matrix].symbols[part.start : part.stop, column]
    return block.astype(np.int32, copy=False)


def _place(
    cells: Sequence[Cell],
    found: Symbols,
    symbols: Sequence[Symbols],
) -> None:
    """Put the symbols of a run where its cells are."""
    at = 0
    for part, column in cells:
        rows = part.stop - part.start
        symbols[part.matrix][part.start : part.stop, column] = found[at : at + rows]
        at += rows


def _count(cells: Sequence[Cell]) -> int:
    return sum(part.stop - part.start for part, _ in cells)


def _names(layouts: Sequence[Layout], parts: Sequence[Piece]) -> str:
    first, last = layouts[parts[0].matrix].name, layouts[parts[-1].matrix].name
    if first == last:
        return f"tensor {printable(first)}"
    return f"tensors {printable(first)} to {printable(last)}"
