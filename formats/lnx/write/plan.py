"""What a writer decides before a single symbol is coded: tables, prices, chunks.

Integer arithmetic throughout, so equal containers give equal streams on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lnx import spec
from lnx.coding.tables import PRICE_BITS, Table
from lnx.errors import ContentError
from lnx.parts.records import ExactRecord, LatentRecord, TensorRecord
from lnx.parts.sections import EXACT, LATENTS, MASKS, Layout, SectionKind, layouts_of
from lnx.tensors.check import check_content
from lnx.tensors.container import Container
from lnx.write.cut import cut
from lnx.write.drafts import Draft, draft_of
from lnx.write.fit_tables import Histogram, share_tables


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


def make_plan(container: Container) -> Plan:
    """Decide how a container is written; raises ContentError for what cannot be."""
    check_content(container)
    index = {tensor.name: i for i, tensor in enumerate(container.tensors)}
    drafts = [draft_of(tensor, index) for tensor in container.tensors]
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


def _choose(drafts: Sequence[Draft], tables: list[Table]) -> list[TensorRecord]:
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
            f"{len(union)} different latents, at most {spec.MAX_SYMBOLS} fit"
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
    drafts: Sequence[Draft],
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


def _planes(draft: Draft, kind: SectionKind) -> Sequence[Histogram]:
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
    """Give each latent record its part of the payload, in bytes."""
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
