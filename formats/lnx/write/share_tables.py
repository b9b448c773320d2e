"""Share tables: group histograms so that tables and symbols together are smallest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lnx import spec
from lnx.coding.tables import PRICE_BITS, Table, log2_fixed, log2_large
from lnx.dtypes import IntArray, Symbols
from lnx.write.make_table import make_table, prices_of, quantize_counts, table_price

ROUNDS = 6
MOST_MERGED = 256  # groups of planes that are merged pair by pair
COMPARED = 1 << 16  # counts at once, so that they stay in a processor's cache
MOST_CLUSTERS = 120  # of a section, so that four of them stay below MAX_TABLES
SUM_BITS = 40  # of all counts, so that costs fit 64 bits
SYMBOL_BITS = 10  # that a symbol of a table takes in the file, about
LEAST_SAVING = 100  # coding that saves less than one part of so many takes too long
NEVER = -(1 << 62)  # what merging must not save
SMOOTHING = 64  # counts are scaled by this before one is added to unseen symbols


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often each symbol appears in one plane.

    Attributes:
        values: (n,) int64, strictly increasing.
        counts: (n,) int64, each at least 1.
    """

    values: IntArray
    counts: IntArray


def histogram(symbols: Symbols) -> Histogram:
    """Count the symbols of a plane, (N,) with N >= 1."""
    low, high = int(symbols.min()), int(symbols.max())
    if high - low > 1 << 16:
        values, counts = np.unique(symbols, return_counts=True)
        return Histogram(values.astype(np.int64), counts.astype(np.int64))
    counts = np.bincount(symbols.astype(np.int32) - np.int32(low))
    used = np.flatnonzero(counts)
    return Histogram(used + low, counts[used].astype(np.int64))


def merge(parts: Sequence[Histogram]) -> Histogram:
    """Return the counts of several planes together."""
    values, places = np.unique(
        np.concatenate([part.values for part in parts]), return_inverse=True
    )
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, places, np.concatenate([part.counts for part in parts]))
    return Histogram(values, counts)


def share_tables(
    planes: Sequence[Histogram],
    *,
    first_id: int,
    raw_price: int | None = None,
    most_symbols: int = spec.MAX_TABLE_SYMBOLS,
) -> tuple[list[Table], list[int]]:
    """Return few tables, and the id of the one that each plane uses.

    raw_price, in bits, is what a symbol costs when it is stored as it is under id 0,
    which is done where tables save next to nothing; None where it cannot be. Ids of
    tables start at first_id; together they hold at most most_symbols, or there is a
    single one. Integer arithmetic only: equal histograms give equal tables on every
    machine.
    """
    if not planes:
        return [], []
    symbols = np.unique(np.concatenate([plane.values for plane in planes]))
    counts = np.zeros((len(planes), len(symbols)), np.int64)  # (P, S)
    for row, plane in zip(counts, planes, strict=True):
        row[np.searchsorted(symbols, plane.values)] = plane.counts
    merged = _merged(counts, most_symbols)
    moved = _moved(counts, merged, raw_price)
    best, other = (
        _settle(symbols, counts, labels, first_id, raw_price)
        for labels in (merged, moved)
    )
    few = sum(len(table.values) for table in other[1]) <= most_symbols
    _, tables, ids = other if few and other[0] < best[0] else best
    return tables, ids


def _merged(counts: IntArray, most_symbols: int) -> IntArray:
    """Return the cluster of each plane, from merging the two that cost the least.

    It ends where any two would cost more together, tables counted, and the clusters are
    at most MOST_CLUSTERS of most_symbols together. Counts are (P, S); of many planes,
    those whose symbols are spread alike are together from the start.
    """
    shift = max(0, int(counts.sum()).bit_length() - SUM_BITS)
    groups = _by_entropy(counts, min(len(counts), MOST_MERGED))
    summed = np.zeros((int(groups.max()) + 1, counts.shape[1]), np.int64)  # (G, S)
    np.add.at(summed, groups, np.maximum(counts >> shift, counts > 0))
    sizes = np.bincount(groups)
    own = _costs(summed, sizes)
    labels = np.arange(len(summed))
    left = labels.copy()
    saved = np.full((len(summed), len(summed)), NEVER)

    def compare(one: int | IntArray, others: IntArray) -> None:
        together = _costs(summed[others] + summed[one], sizes[others] + sizes[one])
        saved[one, others] = saved[others, one] = own[one] + own[others] - together

    pairs = np.stack(np.triu_indices(len(summed), 1))
    few: int = max(1, COMPARED // counts.shape[1])
    for start in range(0, pairs.shape[1], few):
        compare(*pairs[:, start : start + few])
    while len(left) > 1:
        one, other = divmod(int(saved.argmax()), len(summed))
        many = len(left) > MOST_CLUSTERS
        many = many or int(np.count_nonzero(summed[left])) > most_symbols
        if not many and saved[one, other] <= 0:
            break
        summed[one] += summed[other]
        sizes[one] += sizes[other]
        own[one] = _costs(summed[[one]], sizes[[one]])[0]
        labels[labels == other] = one
        left = left[left != other]
        saved[other] = saved[:, other] = NEVER
        compare(one, left[left != one])
    return labels[groups]


def _costs(counts: IntArray, planes: IntArray) -> IntArray:
    """Return the cost of symbols, a table and its ids for each row, in 2**-16 bits.

    Of the ids of n of N planes, n log2(N / n) bits, the part of N is left out: it is
    the same for all clusterings.
    """
    used = np.maximum(counts, 1)
    totals = np.maximum(counts.sum(axis=1), 1)
    symbols = (counts > 0).sum(axis=1) * (SYMBOL_BITS << PRICE_BITS)
    ideal = totals * log2_large(totals) - (counts * log2_large(used)).sum(axis=1)
    found: IntArray = ideal + symbols - planes * log2_large(planes)
    return found


def _moved(counts: IntArray, labels: IntArray, raw_price: int | None) -> IntArray:
    """Return the cluster of each plane, moved to the cheapest again and again.

    It is -1 where storing raw is cheaper.
    """
    for _ in range(ROUNDS):
        clusters = np.unique(labels[labels >= 0])
        if not len(clusters):
            break
        prices = np.stack([_model(counts[labels == c]) for c in clusters])
        costs = counts @ prices.T  # (P, C)
        new = clusters[np.argmin(costs, axis=1)]
        if raw_price is not None:
            raw = _raw_cost(counts.sum(1), raw_price)
            new = np.where(costs.min(axis=1) < raw, new, -1)
        if np.array_equal(new, labels):
            break
        labels = new
    return labels


def _by_entropy(counts: IntArray, clusters: int) -> IntArray:
    """Return clusters of planes whose symbols are about equally spread; (P,)."""
    whole = 1 << spec.MAX_TABLE_BITS
    totals = np.maximum(counts.sum(1, keepdims=True), 1)
    shares = counts * whole // totals  # (P, S)
    spread = -(shares * log2_fixed(shares)).sum(1)
    order = np.lexsort((np.arange(len(counts)), spread))
    labels = np.empty(len(counts), np.int64)
    labels[order] = np.arange(len(counts)) * clusters // len(counts)
    return labels


def _model(members: IntArray) -> IntArray:
    """Return prices of all symbols under what the members of a cluster share; (S,)."""
    smooth = members.sum(0) * SMOOTHING + 1
    bits = spec.MAX_TABLE_BITS
    table = Table(np.arange(len(smooth)), quantize_counts(smooth, bits), bits)
    return table.prices


def _settle(
    symbols: IntArray,
    counts: IntArray,
    labels: IntArray,
    first_id: int,
    raw_price: int | None,
) -> tuple[int, list[Table], list[int]]:
    """Return price in 2**-16 bits, tables and ids for one assignment."""
    ids = np.zeros(len(labels), np.int64)
    price = 0
    tables: list[Table] = []
    for cluster in np.unique(labels):
        mine = labels == cluster
        total = counts[mine].sum(0)
        raw = int(_raw_cost(total.sum(), raw_price or 0))
        if cluster < 0:
            price += raw
            continue
        table = make_table(symbols, total)
        coded = int((total * prices_of(table, symbols)).sum())
        if raw_price is not None and coded + table_price(table) >= raw:
            price += raw
            continue
        price += coded
        ids[mine] = first_id + len(tables)
        tables.append(table)
    price += _overhead_price(tables, len(labels))
    return price, tables, [int(i) for i in ids]


def _raw_cost(symbols: IntArray, raw_price: int) -> IntArray:
    """Return what symbols cost as they are, less what coding them has to save."""
    whole = symbols * (raw_price << PRICE_BITS)
    return whole - whole // LEAST_SAVING


def _overhead_price(tables: list[Table], planes: int) -> int:
    """Price the tables themselves and the ids that point to them."""
    id_bits = planes * len(tables).bit_length()
    return sum(table_price(table) for table in tables) + (id_bits << PRICE_BITS)
