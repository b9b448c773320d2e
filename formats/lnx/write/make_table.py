"""Make one table from counts: frequencies, and what symbols and table cost."""

import numpy as np

from lnx import spec
from lnx.binary.wire import Writer
from lnx.coding.tables import PRICE_BITS, Table, write_table
from lnx.dtypes import IntArray
from lnx.write.fit_geometric import fit_geometric

LITTLE = 32  # a table that takes less than this part of all is good enough
TABLE_BITS, ZERO_BITS, BYTE_BITS = 40, 2, 6  # of a packed table: itself, zeros, others


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
        price = _whole_price(table, values, counts)
        if best is None or price < best[0]:
            best = (price, table)
    if best is None:
        raise ValueError(f"{len(values)} symbols are too many for a table")
    if table_price(best[1]) * LITTLE > best[0]:
        shaped = fit_geometric(values, counts)
        if shaped is not None and _whole_price(shaped, values, counts) < best[0]:
            return shaped
    return best[1]


def _whole_price(table: Table, values: IntArray, counts: IntArray) -> int:
    """Return the cost of symbols with counts, and of their table."""
    return int((counts * prices_of(table, values)).sum()) + table_price(table)


def table_price(table: Table) -> int:
    """Return about what a table costs in the packed file, in 2**-16 bits."""
    writer = Writer()
    write_table(writer, table)
    data = writer.getvalue()
    zeros = data.count(0)
    bits = TABLE_BITS + ZERO_BITS * zeros + BYTE_BITS * (len(data) - zeros)
    return bits << PRICE_BITS


def prices_of(table: Table, symbols: IntArray) -> IntArray:
    """Return the prices of symbols, those that the table does not hold anything."""
    places = np.minimum(np.searchsorted(table.values, symbols), len(table.values) - 1)
    return table.prices[places]
