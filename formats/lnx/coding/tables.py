"""Integer probability tables: their prices and their bytes, no float."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.binary.wire import Reader, Writer, unzigzag, zigzag
from lnx.coding.geometric import Geometric
from lnx.dtypes import IntArray, Symbols, shortest_type
from lnx.errors import FormatError

PRICE_BITS = 16  # prices are in 2**-16 bits
MOST_PLACES = 1 << 17


@dataclass(frozen=True, eq=False)
class Table:
    """Probabilities frequencies[i] / 2**bits of the symbols values[i].

    Attributes:
        values: (n,) int64, strictly increasing, each within int32.
        frequencies: (n,) int64, each at least 1, sum 2**bits.
        bits: precision k of the table.
        shape: what its frequencies are made from, None where each is stored.
    """

    values: IntArray
    frequencies: IntArray
    bits: int
    shape: Geometric | None = None

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
        return self._typed_values[indices]

    @cached_property
    def symbol_type(self) -> np.dtype[np.integer[Any]]:
        """The shortest type that holds every symbol of this table."""
        return shortest_type(int(self.values[0]), int(self.values[-1]))

    @cached_property
    def prices(self) -> IntArray:
        """The ideal cost of each symbol, in 2**-16 bits; (n,)."""
        return (self.bits << PRICE_BITS) - log2_fixed(self.frequencies)

    @cached_property
    def _typed_values(self) -> Symbols:
        return self.values.astype(self.symbol_type)

    @cached_property
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


def log2_fixed(numbers: IntArray) -> IntArray:
    """Return log2 of integers in 0..2**16, in 2**-16 units; of 0 it is 0."""
    return _log2()[numbers]


def log2_large(numbers: IntArray) -> IntArray:
    """Return log2 of positive integers, in 2**-16 units, from their first 16 bits."""
    if int(numbers.max(initial=0)) < 1 << spec.MAX_TABLE_BITS:
        return log2_fixed(numbers)
    _, bits = np.frexp(numbers.astype(np.float64))  # exact below 2**53
    shift = np.maximum(bits.astype(np.int64) - spec.MAX_TABLE_BITS, 0)
    found: IntArray = log2_fixed(numbers >> shift) + (shift << PRICE_BITS)
    return found


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


def write_table(writer: Writer, table: Table) -> None:
    """Append: k, n, first value, gaps - 1, all frequencies but the last, minus 1.

    Of a geometric table: k + 16, n, first value, and what its frequencies come from.
    """
    if table.shape is not None:
        first, count, peak, *codes = table.shape
        writer.varints([table.bits + spec.GEOMETRIC, count, zigzag(first), peak])
        writer.raw(bytes(codes))
        return
    writer.varint(table.bits)
    writer.varint(len(table.values))
    writer.varint(zigzag(int(table.values[0])))
    writer.varints([int(gap) - 1 for gap in np.diff(table.values)])
    writer.varints([int(f) - 1 for f in table.frequencies[:-1]])


def read_table(reader: Reader) -> Table:
    """Read one table; what `write_table` cannot have written is refused."""
    most = spec.MAX_TABLE_BITS + spec.GEOMETRIC
    bits = reader.varint("table bits", most, least=spec.MIN_TABLE_BITS)
    if bits > spec.MAX_TABLE_BITS:
        return _read_geometric(reader, bits - spec.GEOMETRIC)
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


def _read_geometric(reader: Reader, bits: int) -> Table:
    if bits < spec.MIN_TABLE_BITS:
        raise FormatError(f"a geometric table has precision {bits}")
    count = reader.varint("symbols of a table", spec.MAX_GEOMETRIC, least=1)
    first = unzigzag(reader.varint("first symbol", (1 << 32) - 1))
    if first < -(1 << 31) or first + count > 1 << 31:
        raise FormatError("a table holds symbols outside of 32 bits")
    peak = reader.varint("peak of a table", count - 1)
    zero, left, right = reader.raw("shape of a table", 3)
    if zero > spec.MAX_ZERO_WEIGHT:
        raise FormatError(f"weight of zeros is {zero}, at most {spec.MAX_ZERO_WEIGHT}")
    shape = Geometric(first, count, peak, zero, left, right)
    values = np.arange(first, first + count, dtype=np.int64)
    return Table(values, shape.frequencies(bits), bits, shape)


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
