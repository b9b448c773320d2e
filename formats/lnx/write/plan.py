"""What a writer decides before a single symbol is coded: types, masks, tables, cuts.

Only counts of symbols are held, no symbols: they are taken from the tensors again when
they are coded. Integer arithmetic throughout, so equal containers give equal files on
every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lnx import spec
from lnx.coding.tables import PRICE_BITS, Table
from lnx.dtypes import ITEM_BYTES, narrow, repeated
from lnx.errors import ContentError
from lnx.parts.records import (
    AliasRecord,
    ExactRecord,
    FillRecord,
    LatentRecord,
    TensorRecord,
)
from lnx.parts.sections import EXACT, LATENTS, MASKS, Layout, SectionKind, layouts_of
from lnx.tensors.container import (
    Alias,
    Container,
    Exact,
    Latent,
    alive_rows,
    check_content,
    zero_channels,
)
from lnx.write.fit_tables import Histogram, histogram, quantize_counts, share_tables

MOST_CHUNKS = 1 << 15


@dataclass(frozen=True, eq=False)
class Section:
    """What to code: matrices, their costs in 2**-16 bits, and rows of each chunk."""

    kind: SectionKind
    layouts: tuple[Layout, ...]
    prices: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """All decisions about one file."""

    records: tuple[TensorRecord, ...]
    tables: tuple[Table, ...]
    sections: tuple[Section, Section, Section]


@dataclass(frozen=True, eq=False)
class _Draft:
    """One tensor before tables are known: how often each symbol appears.

    Attributes:
        mask: slices without and with a non-zero latent, or None without a mask.
        planes: one for each column; empty for a tensor without rows.
    """

    record: TensorRecord
    mask: Histogram | None = None
    planes: tuple[Histogram, ...] = ()


def make_plan(container: Container) -> Plan:
    """Decide how a container is written; raises ContentError for what cannot be."""
    check_content(container)
    index = {tensor.name: i for i, tensor in enumerate(container.tensors)}
    drafts = [_draft(tensor, index) for tensor in container.tensors]
    _check_planes([d.record for d in drafts])
    tables: list[Table] = []
    records = _choose(drafts, tables)
    symbols = sum(len(table.values) for table in tables)
    if len(tables) > spec.MAX_TABLES or symbols > spec.MAX_TABLE_SYMBOLS:
        raise ContentError(f"{len(tables)} tables of {symbols} symbols are too many")
    masks, latents, exact = (
        _section(kind, records, drafts, tables) for kind in (MASKS, LATENTS, EXACT)
    )
    priced = _with_shares(records, masks, latents)
    return Plan(tuple(priced), tuple(tables), (masks, latents, exact))


def _check_planes(records: Sequence[TensorRecord]) -> None:
    planes = sum(r.slice_length for r in records if isinstance(r, LatentRecord))
    if planes > spec.MAX_PLANES:
        raise ContentError(f"more than {spec.MAX_PLANES} planes of latents")


def _draft(tensor: Latent | Exact | Alias, index: dict[str, int]) -> _Draft:
    if isinstance(tensor, Alias):
        return _Draft(AliasRecord(tensor.name, index[tensor.target]))
    if isinstance(tensor, Latent):
        return _draft_latent(tensor)
    data = np.ascontiguousarray(tensor.data)
    element = repeated(data, tensor.dtype)
    if element is not None:
        return _Draft(FillRecord(tensor.name, tensor.shape, tensor.dtype, element))
    held, short = narrow(data, tensor.dtype)
    blank = (spec.RAW_TABLE,) * ITEM_BYTES[held]
    record = ExactRecord(tensor.name, tensor.shape, tensor.dtype, held, blank)
    planes = short.reshape(-1, ITEM_BYTES[held]).T if len(short) else ()
    return _Draft(record, planes=tuple(map(histogram, planes)))


def _draft_latent(tensor: Latent) -> _Draft:
    symbols = tensor.symbols
    planes = tuple(histogram(plane) for plane in symbols.T) if len(symbols) else ()
    alive = alive_rows(symbols)
    used = int(np.count_nonzero(alive))
    mask, masked = None, False
    if symbols.shape[1] > 1 and used < len(symbols):
        mask = histogram(alive.view(np.uint8))
        left = tuple(_without(plane, len(symbols) - used) for plane in planes)
        coded = [_entropy(plane) for plane in (mask, *left)]
        masked = sum(coded) < sum(_entropy(plane) for plane in planes)
    rows, columns = zero_channels(alive, tensor.shape, symbols.shape[1])
    record = LatentRecord(
        name=tensor.name,
        shape=tensor.shape,
        slice_length=symbols.shape[1],
        decoder=tensor.decoder,
        mask_table=int(masked),
        tables=(1,) * symbols.shape[1],
        nonzero=int(np.count_nonzero(symbols)),
        zero_slices=len(symbols) - used,
        zero_rows=rows,
        zero_columns=columns,
        coded_bytes=0,
    )
    if mask is None or not masked:
        return _Draft(record, None, planes)
    return _Draft(record, mask, left if used else ())


def _without(plane: Histogram, zeros: int) -> Histogram:
    """Return a plane less some of its zeros."""
    counts = plane.counts - zeros * (plane.values == 0)
    return Histogram(plane.values[counts > 0], counts[counts > 0])


def _entropy(plane: Histogram) -> int:
    """Return the cost of a plane under a table of its own, in 2**-16 bits."""
    if not len(plane.counts):
        return 0
    if len(plane.counts) > spec.MAX_SYMBOLS:
        raise ContentError(f"{len(plane.counts)} different latents are too many")
    bits = spec.MAX_TABLE_BITS
    table = Table(plane.values, quantize_counts(plane.counts, bits), bits)
    return int((plane.counts * table.prices).sum())


def _choose(drafts: Sequence[_Draft], tables: list[Table]) -> list[TensorRecord]:
    """Make the tables of all sections; return the records with their ids."""
    mask_ids = _share([d.mask for d in drafts if d.mask is not None], tables, None)
    latent = [d for d in drafts if isinstance(d.record, LatentRecord)]
    exact = [d for d in drafts if isinstance(d.record, ExactRecord)]
    latent_ids = _share([h for d in latent for h in d.planes], tables, None)
    if latent and not tables:
        # Tensors without rows still name tables; any will do.
        tables.append(Table(np.zeros(1, np.int64), np.array([1 << 10]), 10))
    exact_ids = _share([h for d in exact for h in d.planes], tables, 8)
    masks, latents, exacts = iter(mask_ids), iter(latent_ids), iter(exact_ids)
    records: list[TensorRecord] = []
    for draft in drafts:
        record = draft.record
        if isinstance(record, LatentRecord):
            ids = tuple(next(latents) for _ in draft.planes) or record.tables
            table = 0 if draft.mask is None else next(masks)
            records.append(replace(record, mask_table=table, tables=ids))
        elif isinstance(record, ExactRecord):
            ids = tuple(next(exacts) for _ in draft.planes) or record.tables
            records.append(replace(record, tables=ids))
        else:
            records.append(record)
    return records


def _share(
    planes: Sequence[Histogram], tables: list[Table], raw_price: int | None
) -> list[int]:
    """Append the tables of a section; return the id of each plane."""
    union = np.unique(np.concatenate([p.values for p in planes])) if planes else ()
    if len(union) > spec.MAX_SYMBOLS:
        raise ContentError(
            f"{len(union)} different latents, at most {spec.MAX_SYMBOLS} are held"
        )
    # Tables of bytes come last, and take at most a sixteenth of the symbols allowed.
    allowed = spec.MAX_TABLE_SYMBOLS * 15 // 16 if raw_price is None else (1 << 14)
    new, ids = share_tables(
        planes, first_id=len(tables) + 1, raw_price=raw_price, most_symbols=allowed
    )
    tables.extend(new)
    return ids


def _section(
    kind: SectionKind,
    records: Sequence[TensorRecord],
    drafts: Sequence[_Draft],
    tables: Sequence[Table],
) -> Section:
    """Price the matrices of a section and cut it into chunks."""
    layouts = layouts_of(kind, records)
    planes = {d.record.name: _planes(d, kind) for d in drafts}
    prices = [_price(layout, planes[layout.name], tables) for layout in layouts]
    sizes = cut(layouts, prices)
    if len(sizes) > spec.MAX_CHUNKS:
        raise ContentError(f"{kind.name} of {len(sizes)} chunks are too many")
    return Section(kind, tuple(layouts), tuple(prices), tuple(sizes))


def _planes(draft: _Draft, kind: SectionKind) -> Sequence[Histogram]:
    if kind is MASKS:
        return () if draft.mask is None else (draft.mask,)
    return draft.planes


def _price(layout: Layout, planes: Sequence[Histogram], tables: Sequence[Table]) -> int:
    """Return the ideal cost of a matrix under its tables, in 2**-16 bits."""
    total = 0
    for plane, table_id in zip(planes, layout.tables, strict=False):
        if table_id == spec.RAW_TABLE:
            total += int(plane.counts.sum()) * 8 << PRICE_BITS
            continue
        table = tables[table_id - 1]
        prices = table.prices[np.searchsorted(table.values, plane.values)]
        total += int((plane.counts * prices).sum())
    return total


def _with_shares(
    records: Sequence[TensorRecord], masks: Section, latents: Section
) -> list[TensorRecord]:
    """Note the part of the payload that each tensor takes, in bytes."""
    shares: dict[str, int] = {}
    for section in (masks, latents):
        for layout, bits in zip(section.layouts, section.prices, strict=True):
            shares[layout.name] = shares.get(layout.name, 0) + bits
    return [
        replace(r, coded_bytes=-(-shares[r.name] // (8 << PRICE_BITS)))
        if isinstance(r, LatentRecord)
        else r
        for r in records
    ]


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
            room = (spec.MAX_CHUNK_CELLS - cells) // layout.columns
            take = min(left, max(fits, 1), room)
            rows += take
            left -= take
            cells += take * layout.columns
            filled += price * take // layout.rows
            if filled >= target or left:
                sizes.append(rows)
                rows = filled = cells = 0
    return [*sizes, rows] if rows else sizes
