"""What a section holds: a matrix of symbols for each tensor, cut into chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.coding.tables import Table
from lnx.errors import FormatError, printable
from lnx.parts.records import (
    Chunk,
    ExactRecord,
    FixedRecord,
    LatentRecord,
    TensorRecord,
)
from lnx.tensors.container import elements

Tables = Sequence[Table]

# What the end of a stream costs on average: the coder's last bits, then whole words.
STREAM_END_BITS = 32


@dataclass(frozen=True)
class SectionKind:
    """What a section may hold.

    Attributes:
        name: of the section, and of its fields.
        bounds: least and largest symbol.
        raw: whether columns may be stored raw.
    """

    name: str
    bounds: tuple[int, int]
    raw: bool


SCALES = SectionKind("scales", (-128, 127), False)
MASKS = SectionKind("masks", (0, 1), False)
LATENTS = SectionKind("latents", (-(1 << 31), (1 << 31) - 1), False)
FIXED = SectionKind("fixed", (-spec.MAX_MULTIPLE, spec.MAX_MULTIPLE), False)
EXACT = SectionKind("exact", (0, 255), True)
SECTIONS = (SCALES, MASKS, LATENTS, FIXED, EXACT)  # in the order of the file


@dataclass(frozen=True)
class Layout:
    """How one tensor appears in a section.

    Attributes:
        name: the tensor, for messages.
        rows: number of rows.
        columns: number of columns.
        tables: table id of each column; none where the class of a cell picks it.
    """

    name: str
    rows: int
    columns: int
    tables: tuple[int, ...]

    @property
    def classed(self) -> bool:
        """Whether the class of a cell picks its table."""
        return not self.tables

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """The table id of each column, as an array."""
        return np.array(self.tables, np.int64)

    @cached_property
    def ranks(self) -> NDArray[np.intp]:
        """The place of each column in the order in which columns are coded."""
        ranks = np.empty(self.columns, np.intp)
        ranks[np.argsort(self.ids, kind="stable")] = np.arange(self.columns)
        return ranks

    @cached_property
    def widths(self) -> tuple[tuple[int, int], ...]:
        """Table ids in order, and the number of columns of each."""
        ids, counts = np.unique(self.ids, return_counts=True)
        return tuple(zip(ids.tolist(), counts.tolist(), strict=True))

    @property
    def raw_columns(self) -> int:
        """Number of columns that are stored as they are."""
        return self.tables.count(spec.RAW_TABLE)

    @property
    def cells(self) -> int:
        """Number of symbols."""
        return self.rows * self.columns

    @property
    def raw_bytes(self) -> int:
        """Bytes that are stored as they are."""
        return self.rows * self.raw_columns


@dataclass(frozen=True)
class Piece:
    """Rows start to stop of the matrix at an index of its section."""

    matrix: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start


def layouts_of(kind: SectionKind, records: Sequence[TensorRecord]) -> list[Layout]:
    """Return what a section holds, in the order of the tensors."""
    if kind is EXACT:
        exact = [r for r in records if isinstance(r, ExactRecord)]
        return [
            Layout(r.name, elements(r.shape), len(r.tables), r.tables) for r in exact
        ]
    if kind is FIXED:
        fixed = [r for r in records if isinstance(r, FixedRecord)]
        return [Layout(r.name, r.stored, 1, (r.table,)) for r in fixed]
    latent = [r for r in records if isinstance(r, LatentRecord)]
    if kind is SCALES:
        classed = [r for r in latent if r.classed]
        return [Layout(r.name, sum(r.grid), 1, (r.scale_table,)) for r in classed]
    if kind is MASKS:
        masked = [r for r in latent if r.masked]
        return [Layout(r.name, r.slices, 1, (r.mask_table,)) for r in masked]
    return [Layout(r.name, r.coded_slices, r.slice_length, r.tables) for r in latent]


def pieces(layouts: Sequence[Layout], sizes: Sequence[int]) -> list[tuple[Piece, ...]]:
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
        chunks.append(tuple(chunk))
    return chunks


def stored_bytes(
    chunk: Chunk, layouts: Sequence[Layout], parts: Sequence[Piece]
) -> int:
    """Return the length of a chunk in bytes: coded words, then raw columns."""
    raw = sum(part.rows * layouts[part.matrix].raw_columns for part in parts)
    return chunk.words * spec.WORD_BYTES + raw


def section_bytes(layouts: Sequence[Layout], chunks: Sequence[Chunk]) -> int:
    """Return the length of a section in bytes."""
    words = sum(chunk.words for chunk in chunks)
    return words * spec.WORD_BYTES + sum(layout.raw_bytes for layout in layouts)


def check_chunks(
    kind: SectionKind, layouts: Sequence[Layout], chunks: Sequence[Chunk]
) -> None:
    """Raise FormatError unless chunks hold all rows, and are not too many.

    A chunk costs time of its own, so their number is bounded by what they hold.
    """
    rows = sum(layout.rows for layout in layouts)
    found = sum(chunk.rows for chunk in chunks)
    if found != rows:
        raise FormatError(f"chunks of {kind.name} hold {found} of {rows} rows")
    size = section_bytes(layouts, chunks)
    cells = sum(layout.cells for layout in layouts)
    most = size // spec.MIN_CHUNK_BYTES + cells // spec.MIN_CHUNK_CELLS
    if len(chunks) - 1 > most:
        raise FormatError(
            f"{len(chunks)} chunks of {kind.name} for {size} bytes and {cells} symbols"
        )


def check_cells(
    kind: SectionKind, layouts: Sequence[Layout], chunks: Sequence[Sequence[Piece]]
) -> None:
    """Raise FormatError for a chunk that holds too many symbols."""
    for number, parts in enumerate(chunks):
        cells = sum(part.rows * layouts[part.matrix].columns for part in parts)
        if cells > spec.MAX_CHUNK_CELLS:
            raise FormatError(f"chunk {number} of {kind.name} holds {cells} symbols")


def check_tables(
    kind: SectionKind,
    layouts: Sequence[Layout],
    tables: Tables,
    class_ids: Sequence[int] = (),
) -> None:
    """Raise FormatError unless every table exists and suits the section.

    Cells of layouts without tables of their own use those of class_ids.
    """
    low, high = kind.bounds
    suits = [t.values[0] >= low and t.values[-1] <= high for t in tables]
    for layout in layouts:
        for table_id in set(class_ids if layout.classed else layout.tables):
            if table_id == spec.RAW_TABLE and kind.raw:
                continue
            if not 1 <= table_id <= len(tables):
                raise FormatError(f"{printable(layout.name)} has no table {table_id}")
            if not suits[table_id - 1]:
                raise FormatError(
                    f"{printable(layout.name)} has table {table_id}"
                    f" with symbols outside of {low} to {high}"
                )
