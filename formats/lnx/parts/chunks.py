"""A chunk: cells of one or more matrices, in the order in which they are coded.

Inside a chunk the columns are ordered by table id, then tensor, then column, so that
all symbols of one table are coded in one run. Columns under RAW_TABLE are bytes that
follow the coded words as they are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.coding.tables import Table
from lnx.dtypes import Symbols, shortest_type
from lnx.parts.sections import Layout, Piece, SectionKind, Tables

Cell = tuple[Piece, int]  # a piece and a column
Message = list[tuple[Table, Symbols]]
Runs = list[tuple[Table, int]]


@dataclass(frozen=True)
class Order:
    """Where the symbols of a chunk stand: raw cells, and cells by table."""

    raw: list[Cell]
    runs: list[tuple[Table, list[Cell]]]

    def lengths(self) -> Runs:
        """Return each run's table and number of symbols."""
        return [(table, _count(cells)) for table, cells in self.runs]


def order_of(
    layouts: Sequence[Layout], parts: Sequence[Piece], tables: Tables
) -> Order:
    """Return the coding order of a chunk; tables must have been checked."""
    cells: dict[int, list[Cell]] = {}
    for part in parts:
        for column, table_id in enumerate(layouts[part.matrix].tables):
            cells.setdefault(table_id, []).append((part, column))
    raw = cells.pop(spec.RAW_TABLE, [])
    return Order(raw, [(tables[i - 1], cells[i]) for i in sorted(cells)])


def gather(order: Order, matrix: Callable[[int], Symbols]) -> tuple[Message, bytes]:
    """Return the message and the raw bytes of a chunk."""
    blocks = _blocks(order, matrix)
    message = [
        (
            table,
            np.concatenate([blocks[part][:, column] for part, column in cells]),
        )
        for table, cells in order.runs
    ]
    raw = [blocks[p][:, column].astype(np.uint8).tobytes() for p, column in order.raw]
    return message, b"".join(raw)


def _blocks(order: Order, matrix: Callable[[int], Symbols]) -> dict[Piece, Symbols]:
    """Return the rows of each piece, each matrix asked for once and in order."""
    cells = [cell for _, run in order.runs for cell in run] + order.raw
    parts = sorted({part for part, _ in cells}, key=_place)
    return {part: matrix(part.matrix)[part.start : part.stop] for part in parts}


def scatter(
    order: Order,
    raw: NDArray[np.uint8],
    runs: Iterable[Symbols],
    matrices: Mapping[int, Symbols],
) -> None:
    """Put the symbols of a chunk into those of its matrices that are at hand."""
    _place_run(order.raw, raw, matrices)
    for (_, cells), found in zip(order.runs, runs, strict=True):
        _place_run(cells, found, matrices)


def blank(layout: Layout, kind: SectionKind, tables: Tables) -> Symbols:
    """Return room for a matrix, in the shortest type that holds its symbols."""
    shape = (layout.rows, layout.columns)
    if kind.bounds[0] >= 0:
        return np.empty(shape, np.uint8)
    used = [tables[i - 1] for i in set(layout.tables)]
    low = min(int(table.values[0]) for table in used)
    high = max(int(table.values[-1]) for table in used)
    return np.empty(shape, shortest_type(min(low, -1), high))  # latents are signed


def _place_run(
    cells: Sequence[Cell],
    found: Symbols,
    matrices: Mapping[int, Symbols],
) -> None:
    at = 0
    for part, column in cells:
        if part.matrix in matrices:
            target = matrices[part.matrix][part.start : part.stop, column]
            target[:] = found[at : at + part.rows]
        at += part.rows


def _count(cells: Sequence[Cell]) -> int:
    return sum(part.rows for part, _ in cells)


def _place(part: Piece) -> tuple[int, int]:
    return part.matrix, part.start
