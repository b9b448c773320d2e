"""A chunk: cells of one or more matrices, in the order in which they are coded.

Inside a chunk the columns are ordered by table id, then tensor, then column, so that
all symbols of one table are coded in one run. Columns under RAW_TABLE come first: they
are bytes that are stored as they are, behind the coded words. Where scale classes pick
the tables, the cells of one table are a run of the matrix in C order, not a column.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.coding.tables import Table
from lnx.dtypes import Bytes, Symbols, shortest_type
from lnx.errors import FormatError, printable
from lnx.parts.records import ClassTables
from lnx.parts.sections import Layout, Piece, SectionKind, Tables
from lnx.tensors.classes import Scales

Message = list[tuple[Table, Symbols]]
Runs = list[tuple[Table, int]]

LONG_COLUMNS = 64  # from this many rows on, columns are copied one by one


@dataclass(frozen=True, eq=False)
class ClassMap:
    """What picks the tables of cells: scales by tensor, and a table for each class."""

    scales: Mapping[str, Scales]
    tables: ClassTables

    def table_ids(self, name: str, part: Piece) -> NDArray[np.intp]:
        """Return the table id of each cell of a piece, in C order.

        Raises FormatError for a class that has no table.
        """
        classes = self.scales[name].classes(part.start, part.stop).reshape(-1)
        known = np.array(self.tables.ids, np.intp)
        places = classes.astype(np.intp) - self.tables.first
        if len(places) and not 0 <= places.min() <= places.max() < len(known):
            raise FormatError(f"{printable(name)} has a scale class without a table")
        return known[places]


@dataclass(frozen=True)
class Order:
    """Where the cells of a chunk are, one after the other in coding order.

    Attributes:
        raw: how many are raw; these come first.
        runs: each run's table and number of cells.
        starts: of each piece, where each of its columns starts, (columns,); or the
            place of each of its cells, (rows, columns).
    """

    raw: int
    runs: Runs
    starts: list[tuple[Piece, NDArray[np.intp]]]

    @property
    def cells(self) -> int:
        """Number of cells, raw ones included."""
        return self.raw + sum(count for _, count in self.runs)


@dataclass(frozen=True, eq=False)
class _Units:
    """The parts of a piece that are coded in one go: columns, or cells of one table.

    Attributes:
        ids: table id of each.
        counts: number of cells of each.
        cells: where scales pick the tables, the cells of all of them in C order.
    """

    ids: NDArray[np.intp]
    counts: NDArray[np.intp]
    cells: NDArray[np.intp] | None = None

    def places(self, starts: NDArray[np.intp], part: Piece) -> NDArray[np.intp]:
        """Return what `Order.starts` says of the piece, given where units start."""
        if self.cells is None:
            return starts
        before = np.cumsum(self.counts) - self.counts
        places = np.empty(len(self.cells), np.intp)
        places[self.cells] = np.repeat(starts - before, self.counts)
        places[self.cells] += np.arange(len(self.cells))
        return places.reshape(part.rows, -1)


def _units(layout: Layout, part: Piece, classes: ClassMap) -> _Units:
    if not layout.classed:
        return _Units(layout.ids, np.full(layout.columns, part.rows, np.intp))
    ids = classes.table_ids(layout.name, part).astype(np.uint16)
    counts = np.bincount(ids)
    used = np.flatnonzero(counts)
    return _Units(used, counts[used], np.argsort(ids, kind="stable"))


def order_of(
    layouts: Sequence[Layout], parts: Sequence[Piece], tables: Tables, classes: ClassMap
) -> Order:
    """Return the coding order of a chunk; tables must have been checked."""
    if len(parts) == 1 and not layouts[parts[0].matrix].classed:
        return _order_of_one(layouts[parts[0].matrix], parts[0], tables)
    units = [_units(layouts[part.matrix], part, classes) for part in parts]
    ids = np.concatenate([unit.ids for unit in units])
    rows = np.concatenate([unit.counts for unit in units])
    by_table = np.argsort(ids, kind="stable")
    befores = np.cumsum(rows[by_table]) - rows[by_table]
    starts = np.empty(len(ids), np.intp)
    starts[by_table] = befores
    counts = _counts(ids[by_table], befores, int(rows.sum()))
    placed: list[tuple[Piece, NDArray[np.intp]]] = []
    at = 0
    for part, unit in zip(parts, units, strict=True):
        own = starts[at : at + len(unit.ids)]
        placed.append((part, unit.places(own, part)))
        at += len(unit.ids)
    return _order(counts, tables, placed)


def _order_of_one(layout: Layout, part: Piece, tables: Tables) -> Order:
    """Return the order of a chunk of one piece: all its columns are equally long."""
    counts = {table_id: width * part.rows for table_id, width in layout.widths}
    return _order(counts, tables, [(part, layout.ranks * part.rows)])


def _order(
    counts: dict[int, int],
    tables: Tables,
    starts: list[tuple[Piece, NDArray[np.intp]]],
) -> Order:
    runs = [(tables[i - 1], n) for i, n in counts.items() if i != spec.RAW_TABLE]
    return Order(counts.get(spec.RAW_TABLE, 0), runs, starts)


def _counts(
    ids: NDArray[np.intp], befores: NDArray[np.intp], cells: int
) -> dict[int, int]:
    """Return the cells of each table id, given sorted ids and the cells before each."""
    first = np.flatnonzero(ids[1:] != ids[:-1]) + 1
    used = [int(ids[0]), *ids[first].tolist()]
    places = [0, *befores[first].tolist(), cells]
    return {
        table_id: stop - start
        for table_id, (start, stop) in zip(used, pairwise(places), strict=True)
    }


def gather(order: Order, matrix: Callable[[int], Symbols]) -> tuple[Message, bytes]:
    """Return the message and the raw bytes of a chunk, its matrices taken in order."""
    rows = [matrix(part.matrix)[part.start : part.stop] for part, _ in order.starts]
    cells = np.empty(order.cells, np.result_type(*rows))
    for source, (_, starts) in zip(rows, order.starts, strict=True):
        if starts.ndim == 2 or len(source) < LONG_COLUMNS:
            cells[_places(starts, len(source))] = source
        else:
            for start, column in zip(starts.tolist(), source.T, strict=True):
                cells[start : start + len(source)] = column
    message, at = [], order.raw
    for table, count in order.runs:
        message.append((table, cells[at : at + count]))
        at += count
    return message, cells[: order.raw].astype(np.uint8).tobytes()


def scatter(
    order: Order,
    raw: Bytes,
    runs: Sequence[Symbols],
    matrices: Mapping[int, Symbols],
) -> None:
    """Put the symbols of a chunk into those of its matrices that are given."""
    cells = np.concatenate([raw, *runs]) if len(raw) else np.concatenate(runs)
    for part, starts in order.starts:
        if part.matrix not in matrices:
            continue
        target = matrices[part.matrix][part.start : part.stop]
        if starts.ndim == 2 or len(target) < LONG_COLUMNS:
            target[:] = cells[_places(starts, len(target))]
        else:
            for start, column in zip(starts.tolist(), target.T, strict=True):
                column[:] = cells[start : start + len(target)]


def blank(
    layout: Layout, kind: SectionKind, tables: Tables, classes: ClassMap
) -> Symbols:
    """Return room for a matrix, in the shortest type that holds its symbols."""
    shape = (layout.rows, layout.columns)
    if kind.bounds[0] >= 0:
        return np.empty(shape, np.uint8)
    ids = classes.tables.ids if layout.classed else layout.tables
    used = [tables[table_id - 1] for table_id in set(ids)]
    low = min((int(table.values[0]) for table in used), default=0)
    high = max((int(table.values[-1]) for table in used), default=0)
    return np.empty(shape, shortest_type(low, high, signed=True))


def _places(starts: NDArray[np.intp], rows: int) -> NDArray[np.intp]:
    """Return the place of each cell of a piece, (rows, columns)."""
    if starts.ndim == 2:
        return starts
    return starts + np.arange(rows)[:, None]  # (rows, columns)
