"""What a writer decides before a single symbol is coded: tables, prices, chunks.

Integer arithmetic throughout, so equal containers give equal streams on every machine.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lnx import spec
from lnx.coding.tables import PRICE_BITS, Table
from lnx.errors import ContentError
from lnx.parts.chunks import ClassMap
from lnx.parts.records import (
    ClassTables,
    ExactRecord,
    FixedRecord,
    LatentRecord,
    TensorRecord,
)
from lnx.parts.sections import (
    EXACT,
    LATENTS,
    MASKS,
    SECTIONS,
    Layout,
    SectionKind,
    layouts_of,
)
from lnx.tensors.check import check_content
from lnx.tensors.container import Container
from lnx.write.cut import cut, cut_exact
from lnx.write.drafts import Draft, draft_of
from lnx.write.leave_out import followed, without_zero_rows
from lnx.write.share_tables import Histogram, merge, share_tables


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
    classes: ClassMap
    sections: tuple[Section, ...]


def make_plan(container: Container) -> Plan:
    """Decide how a container is written; raises ContentError for what cannot be."""
    check_content(container)
    index = {tensor.name: i for i, tensor in enumerate(container.tensors)}
    places = followed(container.tensors)
    followers = Counter(places.values())
    drafts = [
        draft_of(tensor, index, followers[i])
        for i, tensor in enumerate(container.tensors)
    ]
    drafts = without_zero_rows(drafts, container.tensors, places)
    _check_planes([d.record for d in drafts])
    tables: list[Table] = []
    records, class_tables = _choose(drafts, tables)
    symbols = sum(len(table.values) for table in tables)
    if len(tables) > spec.MAX_TABLES or symbols > spec.MAX_TABLE_SYMBOLS:
        raise ContentError(f"{len(tables)} tables of {symbols} symbols are too many")
    classes = ClassMap(
        {d.record.name: d.scales for d in drafts if d.scales is not None}, class_tables
    )
    sections = {
        kind: _section(kind, records, drafts, tables, class_tables) for kind in SECTIONS
    }
    priced = _with_shares(records, sections[MASKS], sections[LATENTS])
    return Plan(tuple(priced), tuple(tables), classes, tuple(sections.values()))


def _check_planes(records: Sequence[TensorRecord]) -> None:
    planes = sum(len(r.tables) for r in records if isinstance(r, LatentRecord))
    if planes > spec.MAX_PLANES:
        raise ContentError(f"more than {spec.MAX_PLANES} planes of latents")


def _choose(
    drafts: Sequence[Draft], tables: list[Table]
) -> tuple[list[TensorRecord], ClassTables]:
    """Make the tables of all sections; return the records with their ids."""
    latent = [d for d in drafts if isinstance(d.record, LatentRecord)]
    scaled = [d for d in latent if d.scales is not None]
    planar = [d for d in latent if d.scales is None]
    fixed = [d for d in drafts if isinstance(d.record, FixedRecord)]
    exact = [d for d in drafts if isinstance(d.record, ExactRecord)]
    scales = iter(_share([h for d in scaled for h in d.planes], tables, None))
    masks = iter(_share([d.mask for d in planar if d.mask is not None], tables, None))
    merged = _merged([d.classes for d in scaled])
    planes = [h for d in planar for h in d.planes]
    ids = _share([*planes, *merged.values()], tables, None)
    if latent and not tables:
        # Tensors without rows still name tables; any will do.
        tables.append(Table(np.zeros(1, np.int64), np.array([1 << 10]), 10))
    class_tables = _class_tables(dict(zip(merged, ids[len(planes) :], strict=True)))
    latents = iter(ids)
    numbers = iter(_share([h for d in fixed for h in d.planes], tables, None))
    exacts = iter(_share([h for d in exact for h in d.planes], tables, 8))
    records: list[TensorRecord] = []
    for draft in drafts:
        record = draft.record
        if isinstance(record, LatentRecord) and draft.scales is not None:
            records.append(replace(record, scale_table=next(scales)))
        elif isinstance(record, LatentRecord):
            own = tuple(next(latents) for _ in draft.planes) or record.tables
            mask = 0 if draft.mask is None else next(masks)
            records.append(replace(record, mask_table=mask, tables=own))
        elif isinstance(record, FixedRecord):
            records.append(replace(record, table=next(numbers)))
        elif isinstance(record, ExactRecord):
            own = tuple(next(exacts) for _ in draft.planes) or record.tables
            records.append(replace(record, tables=own))
        else:
            records.append(record)
    return records, class_tables


def _merged(parts: Sequence[dict[int, Histogram]]) -> dict[int, Histogram]:
    """Return the counts of each class over all tensors, in the order of classes."""
    found: dict[int, list[Histogram]] = {}
    for part in parts:
        for number, counted in part.items():
            found.setdefault(number, []).append(counted)
    return {number: merge(found[number]) for number in sorted(found)}


def _class_tables(ids: dict[int, int]) -> ClassTables:
    """Return the tables of all classes from the first used one to the last."""
    if not ids:
        return ClassTables()
    first, last = min(ids), max(ids)
    chosen, table = [], ids[first]
    for number in range(first, last + 1):
        table = ids.get(number, table)  # between used classes any will do
        chosen.append(table)
    return ClassTables(first, tuple(chosen))


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
    class_tables: ClassTables,
) -> Section:
    """Price the matrices of a section and cut it into chunks."""
    layouts = layouts_of(kind, records)
    counted = {d.record.name: _counted(d, kind, class_tables) for d in drafts}
    prices = [_price(layout, counted[layout.name], tables) for layout in layouts]
    if kind is EXACT:
        sizes = cut_exact(layouts, prices)
    else:
        sizes = cut(layouts, prices, spec.CHUNK_TARGET_BYTES)
    if len(sizes) > spec.MAX_CHUNKS:
        raise ContentError(f"{kind.name} of {len(sizes)} chunks are too many")
    return Section(kind, tuple(layouts), tuple(prices), tuple(sizes))


Counted = Sequence[tuple[Histogram, int | None]]  # with a table id, or the column's


def _counted(draft: Draft, kind: SectionKind, class_tables: ClassTables) -> Counted:
    """Return what a section counts of a tensor."""
    if kind is MASKS:
        return () if draft.mask is None else ((draft.mask, None),)
    if kind is LATENTS and draft.scales is not None:
        ids, first = class_tables.ids, class_tables.first
        return [(found, ids[number - first]) for number, found in draft.classes.items()]
    return [(plane, None) for plane in draft.planes]


def _price(layout: Layout, counted: Counted, tables: Sequence[Table]) -> int:
    """Return the ideal cost of a matrix under its tables, in 2**-16 bits."""
    total = 0
    for number, (plane, own) in enumerate(counted):
        table_id = layout.tables[number] if own is None else own
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
    """Tell each latent record what one of its non-zero latents takes."""
    bits_of: dict[str, int] = {}
    for section in (masks, latents):
        for layout, bits in zip(section.layouts, section.prices, strict=True):
            bits_of[layout.name] = bits_of.get(layout.name, 0) + bits
    return [
        replace(r, share=_share_of(bits_of[r.name], r.nonzero))
        if isinstance(r, LatentRecord)
        else r
        for r in records
    ]


def _share_of(bits: int, nonzero: int) -> int:
    """Return what a non-zero latent takes, in SHARE_UNIT parts of a byte; 255 at most.

    bits are in 2**-16.
    """
    whole = bits * spec.SHARE_UNIT // (8 << PRICE_BITS)
    return min(-(-whole // max(nonzero, 1)), 255)
