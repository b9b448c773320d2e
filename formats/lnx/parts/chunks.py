"""A chunk: cells of one or more matrices, in the order in which they are coded.

Inside a chunk the columns are ordered by table id, then tensor, then column, so that
all symbols of one table are coded in one run. Columns under RAW_TABLE come first: they
are bytes that are stored as they are, behind the coded words.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.coding.tables import Table
from lnx.dtypes import Bytes, Symbols, shortest_type
from lnx.parts.sections import Layout, Piece, SectionKind, Tables

Message = list[tuple[Table, Symbols]]
Runs = list[tuple[Table, int]]

LONG_COLUMNS = 64  # from this many rows on, columns are copied one by one


@dataclass(frozen=True)
class Order:
    """Where the cells of a chunk are, one after the other in coding order.

    Attributes:
        raw: how many are raw; these come first.
        runs: each run's table and number of cells.
        starts: of each piece, where each of its columns starts.
    """

    raw: int
    runs: Runs
    starts: list[tuple[Piece, NDArray[np.intp]]]

    @property
    def cells(self) -> int:
        """Number of cells, raw ones included."""
        return self.raw + sum(count for _, count in self.runs)


def order_of(
    layouts: Sequence[Layout], parts: Sequence[Piece], tables: Tables
) -> Order:
    """Return the coding order of a chunk; tables must have been checked."""
    ids = np.concatenate([layouts[part.matrix].ids for part in parts])
    widths = [layouts[part.matrix].columns for part in parts]
    rows = np.repeat([part.rows for part in parts], widths)
    by_table = np.argsort(ids, kind="stable")
    ends = np.cumsum(rows[by_table])
    starts = np.empty(len(ids), np.intp)
    starts[by_table] = ends - rows[by_table]
    used, first = np.unique(ids[by_table], return_index=True)
    places = [*(ends - rows[by_table])[first].tolist(), int(ends[-1])]
    counts = dict(zip(used.tolist(), np.diff(places).tolist(), strict=True))
    return Order(
        counts.pop(spec.RAW_TABLE, 0),
        [(tables[table_id - 1], count) for table_id, count in counts.items()],
        list(zip(parts, np.split(starts, np.cumsum(widths)[:-1]), strict=True)),
    )


def gather(order: Order, matrix: Callable[[int], Symbols]) -> tuple[Message, bytes]:
    """Return the message and the raw bytes of a chunk, its matrices taken in order."""
    rows = [matrix(part.matrix)[part.start : part.stop] for part, _ in order.starts]
    cells = np.empty(order.cells, np.result_type(*rows))
    for source, (_, starts) in zip(rows, order.starts, strict=True):
        if len(source) < LONG_COLUMNS:
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
        if len(target) < LONG_COLUMNS:
            target[:] = cells[_places(starts, len(target))]
        else:
            for start, column in zip(starts.tolist(), target.T, strict=True):
                column[:] = cells[start : start + len(target)]


def blank(layout: Layout, kind: SectionKind, tables: Tables) -> Symbols:
    """Return room for a matrix, in the shortest type that holds its symbols."""
    shape = (layout.rows, layout.columns)
    if kind.bounds[0] >= 0:
        return np.empty(shape, np.uint8)
    used = [tables[table_id - 1] for table_id in set(layout.tables)]
    low = min(int(table.values[0]) for table in used)
    high = max(int(table.values[-1]) for table in used)
    return np.empty(shape, shortest_type(low, high, signed=True))


def _places(starts: NDArray[np.intp], rows: int) -> NDArray[np.intp]:
    """Return the place of each cell of a piece, given where its columns start."""
    return starts + np.arange(rows)[:, None]  # (rows, columns)
