"""Integer probability tables: made from counts, priced and written, no float."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.errors import FormatError
from lnx.wire import Reader, Writer, unzigzag, zigzag

IntArray = NDArray[np.int64]
Symbols = NDArray[np.integer[Any]]  # of at most 32 bits

PRICE_BITS = 16  # prices are in 2**-16 bits
MOST_PLACES = 1 << 17


@dataclass(frozen=True, eq=False)
class Table:
    """Probabilities frequencies[i] / 2**bits of the symbols values[i].

    Attributes:
        values: (n,) int64, strictly increasing, each within int32.
        frequencies: (n,) int64, each at least 1, sum 2**bits.
        bits: precision k of the table.
    """

    values: IntArray
    frequencies: IntArray
    bits: int

    def indices(self, symbols: Symbols) -> NDArray[np.int32]:
        """Return the position of each symbol, which must be in the table."""
        first = np.int32(self.values[0])
        if self._dense:
            return symbols.astype(np.int32) - first
        if self._places is None:
            return np.searchsorted(self.values, symbols).astype(np.int32)
        places: NDArray[np.int32] = self._places[symbols.astype(np.int32) - first]
        return places

    def symbols(self, indices: NDArray[np.int32]) -> Symbols:
        """Return the symbols at some positions, in the shortest type for this table."""
        if self._dense:
            found: Symbols = indices + np.int32(self.values[0])
            return found.astype(self.symbol_type)
        return self.values.astype(self.symbol_type)[indices]

    @property
    def symbol_type(self) -> np.dtype[np.integer[Any]]:
        """The shortest type that holds every symbol of this table."""
        return shortest_type(int(self.values[0]), int(self.values[-1]))

    @cached_property
    def prices(self) -> IntArray:
        """The ideal cost of each symbol, in 2**-16 bits; (n,)."""
        return (self.bits << PRICE_BITS) - log2_fixed(self.frequencies)

    @property
    def _dense(self) -> bool:
        return int(self.values[-1] - self.values[0]) == len(self.values) - 1

    @cached_property
    def _places(self) -> NDArray[np.int32] | None:
        """Positions by symbol, the first one subtracted; None where that is long."""
        span = int(self.values[-1] - self.values[0]) + 1
        if span > MOST_PLACES:
            return None
        places = np.zeros(span, np.int32)
        places[self.values - self.values[0]] = np.arange(len(self.values))
        return places


def shortest_type(low: int, high: int) -> np.dtype[np.integer[Any]]:
    """Return the shortest integer type for symbols from low to high."""
    for bits in (8, 16):
        if -(1 << bits - 1) <= low and high < 1 << bits - 1:
            return np.dtype(f"i{bits // 8}")
        if low >= 0 and high < 1 << bits:
            return np.dtype(f"u{bits // 8}")
    return np.dtype("i4")


def log2_fixed(numbers: IntArray) -> IntArray:
    """Return log2 of integers in 0..2**16, in 2**-16 units; of 0 it is 0."""
    return _log2()[numbers]


@cache
def _log2() -> IntArray:
    """Return log2 of 0..2**16 in 2**-16 units, by integer squaring; entry 0 is 0.

    No floating point: two machines must choose the same tables for the same counts.
    """
    numbers = np.arange(1, (1 << spec.MAX_TABLE_BITS) + 1, dtype=np.uint64)
    whole = np.zeros(numbers.shape, np.int64)
    for power in range(1, spec.MAX_TABLE_BITS + 1):
        whole += numbers >= (1 << power)
    mantissa = numbers << (31 - whole).astype(np.uint64)  # in [2**31, 2**32)
    fraction = np.zeros(numbers.shape, np.int64)
    for _ in range(PRICE_BITS):
        mantissa = mantissa * mantissa >> np.uint64(31)
        carry = mantissa >> np.uint64(32)
        fraction = fraction << 1 | carry.astype(np.int64)
        mantissa >>= carry
    return np.concatenate(([0], (whole << PRICE_BITS) + fraction))


def quantize_counts(counts: IntArray, bits: int) -> IntArray:
    """Return frequencies of sum 2**bits, each at least 1, near the counts' shares.

    counts: (n,) positive, n <= 2**bits. Largest remainders first; what the lifted
    small ones cost is taken from the largest.
    """
    total = int(counts.sum())
    shift = max(0, total.bit_length() + bits - 62)
    counts = np.maximum(counts >> shift, 1)
    total = int(counts.sum())
    exact, remainder = np.divmod(counts << bits, total)
    frequencies = np.maximum(exact, 1)
    missing = (1 << bits) - int(frequencies.sum())
    if missing > 0:
        order = np.lexsort((np.arange(len(counts)), -remainder))
        frequencies[order[:missing]] += 1
    while missing < 0:
        largest = int(np.argmax(frequencies))
        step = min(-missing, max(1, int(frequencies[largest]) // 8))
        frequencies[largest] -= step
        missing += step
    return frequencies


def make_table(values: IntArray, counts: IntArray) -> Table:
    """Return the table of least cost, itself included, for symbols with counts."""
    used = counts > 0
    values, counts = values[used], counts[used]
    best: tuple[int, Table] | None = None
    for bits in range(spec.MIN_TABLE_BITS, spec.MAX_TABLE_BITS + 1, 2):
        if len(values) > 1 << bits:
            continue
        table = Table(values, quantize_counts(counts, bits), bits)
        price = int((counts * table.prices).sum()) + table_price(table)
        if best is None or price < best[0]:
            best = (price, table)
    if best is None:
        raise ValueError(f"{len(values)} symbols are too many for a table")
    return best[1]


def table_price(table: Table) -> int:
    """Return what a table costs in the file, in 2**-16 bits."""
    writer = Writer()
    write_table(writer, table)
    return len(writer.getvalue()) * 8 << PRICE_BITS


def write_table(writer: Writer, table: Table) -> None:
    """Append: k, n, first value, gaps - 1, all frequencies but the last, minus 1."""
    writer.varint(table.bits)
    writer.varint(len(table.values))
    writer.varint(zigzag(int(table.values[0])))
    writer.varints([int(gap) - 1 for gap in np.diff(table.values)])
    writer.varints([int(f) - 1 for f in table.frequencies[:-1]])


def read_table(reader: Reader) -> Table:
    """Read one table; what `write_table` cannot have written is refused."""
    bits = reader.varint("table bits", spec.MAX_TABLE_BITS, least=spec.MIN_TABLE_BITS)
    cap = min(spec.MAX_SYMBOLS, 1 << bits)
    count = reader.varint("symbols of a table", cap, least=1)
    first = unzigzag(reader.varint("first symbol", (1 << 32) - 1))
    gaps = reader.varints("gap between symbols", count - 1, (1 << 32) - 1)
    values = first + np.concatenate(([0], np.cumsum([gap + 1 for gap in gaps])))
    if first < -(1 << 31) or int(values[-1]) >= 1 << 31:
        raise FormatError("a table holds symbols outside of 32 bits")
    head = [f + 1 for f in reader.varints("frequency", count - 1, (1 << bits) - 1)]
    last = (1 << bits) - sum(head)
    if last < 1:
        raise FormatError(f"frequencies of a table do not sum to {1 << bits}")
    frequencies = np.array([*head, last], np.int64)
    return Table(values.astype(np.int64), frequencies, bits)


def write_tables(writer: Writer, tables: Sequence[Table]) -> None:
    """Append a count and that many tables; their ids start at 1."""
    writer.varint(len(tables))
    for table in tables:
        write_table(writer, table)


def read_tables(reader: Reader) -> tuple[Table, ...]:
    """Read a count and that many tables."""
    count = reader.varint("number of tables", spec.MAX_TABLES)
    tables = []
    left = spec.MAX_TABLE_SYMBOLS
    for _ in range(count):
        table = read_table(reader)
        left -= len(table.values)
        if left < 0:
            raise FormatError(f"tables hold over {spec.MAX_TABLE_SYMBOLS} symbols")
        tables.append(table)
    return tuple(tables)
