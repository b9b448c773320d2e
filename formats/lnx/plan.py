"""What a writer decides before a single symbol is coded: types, masks, tables, cuts.

Integer arithmetic throughout, so equal containers give equal files on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.clusters import Histogram, histogram, share_tables
from lnx.content import Alias, Container, Exact, Latent, check_content
from lnx.errors import ContentError
from lnx.narrow import narrow, repeated
from lnx.records import (
    AliasRecord,
    ExactRecord,
    FillRecord,
    LatentRecord,
    TensorRecord,
)
from lnx.sections import Layout, Matrix, cut, price
from lnx.spec import ITEM_BYTES
from lnx.tables import PRICE_BITS, Table, quantize_counts


@dataclass(frozen=True, eq=False)
class Section:
    """Matrices to code, what each costs in 2**-16 bits, and rows of each chunk."""

    matrices: tuple[Matrix, ...]
    prices: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """All decisions about one file."""

    records: tuple[TensorRecord, ...]
    tables: tuple[Table, ...]
    masks: Section
    latents: Section
    exact: Section


@dataclass(frozen=True, eq=False)
class _Draft:
    """The symbols of one tensor, before tables are known; mask is (N,) bool."""

    record: TensorRecord
    mask: NDArray[np.bool_] | None = None
    symbols: NDArray[np.int32] | NDArray[np.uint8] | None = None


def make_plan(container: Container) -> Plan:
    """Decide how a container is written; raises ContentError for what cannot be."""
    check_content(container)
    index = {tensor.name: i for i, tensor in enumerate(container.tensors)}
    drafts = [_draft(tensor, index) for tensor in container.tensors]
    masked = [d for d in drafts if d.mask is not None]
    latent = [d for d in drafts if isinstance(d.record, LatentRecord)]
    exact = [d for d in drafts if isinstance(d.record, ExactRecord)]
    tables: list[Table] = []
    masks, mask_ids = _section(masked, tables, raw_price=None, masks=True)
    latents, latent_ids = _section(latent, tables, raw_price=None)
    exacts, exact_ids = _section(exact, tables, raw_price=8)
    if len(tables) > spec.MAX_TABLES:
        raise ContentError(f"{len(tables)} tables are too many")
    if sum(map(_planes, latent)) > spec.MAX_PLANES:
        raise ContentError(f"more than {spec.MAX_PLANES} planes of latents")
    ids = {**latent_ids, **exact_ids}
    shares = _shares(masks, latents)
    records = [
        _finish(d.record, ids.get(d.record.name, ()), mask_ids, shares) for d in drafts
    ]
    return Plan(tuple(records), tuple(tables), masks, latents, exacts)


def _planes(draft: _Draft) -> int:
    return draft.record.slice_length if isinstance(draft.record, LatentRecord) else 0


def _draft(tensor: Latent | Exact | Alias, index: dict[str, int]) -> _Draft:
    if isinstance(tensor, Alias):
        return _Draft(AliasRecord(tensor.name, index[tensor.target]))
    if isinstance(tensor, Latent):
        return _draft_latent(tensor)
    element = repeated(np.ascontiguousarray(tensor.data), tensor.dtype)
    if element is not None:
        return _Draft(FillRecord(tensor.name, tensor.shape, tensor.dtype, element))
    held, data = narrow(np.ascontiguousarray(tensor.data), tensor.dtype)
    record = ExactRecord(tensor.name, tensor.shape, tensor.dtype, held, ())
    return _Draft(record, symbols=data.reshape(-1, ITEM_BYTES[held]))


def _draft_latent(tensor: Latent) -> _Draft:
    symbols = tensor.symbols
    alive = np.asarray(symbols.any(axis=1))
    mask = alive if _mask_pays(symbols, alive) else None
    record = LatentRecord(
        name=tensor.name,
        shape=tensor.shape,
        slice_length=symbols.shape[1],
        decoder=tensor.decoder,
        mask_table=0,
        tables=(),
        nonzero=int(np.count_nonzero(symbols)),
        zero_slices=int(len(alive) - np.count_nonzero(alive)),
        coded_bytes=0,
    )
    return _Draft(record, mask, symbols if mask is None else symbols[alive])


def _mask_pays(symbols: NDArray[np.int32], alive: NDArray[np.bool_]) -> bool:
    """Tell whether a mask and the values of non-zero slices cost less than all."""
    if symbols.shape[1] == 1 or not len(alive) or alive.all():
        return False
    masked = _entropy(histogram(alive.astype(np.int32)))
    if alive.any():
        masked += sum(_entropy(h) for h in _histograms(symbols[alive]))
    return masked < sum(_entropy(h) for h in _histograms(symbols))


def _entropy(plane: Histogram) -> int:
    """Return the cost of a plane under a table of its own, in 2**-16 bits."""
    if len(plane.counts) > spec.MAX_SYMBOLS:
        raise ContentError(f"{len(plane.counts)} different latents are too many")
    bits = spec.MAX_TABLE_BITS
    frequencies = quantize_counts(plane.counts, bits)
    table = Table(plane.values, frequencies, bits)
    return int((plane.counts * table.prices()).sum())


def _histograms(
    symbols: NDArray[np.int32] | NDArray[np.uint8],
) -> list[Histogram]:
    return [histogram(column.astype(np.int32)) for column in symbols.T]


def _section(
    drafts: Sequence[_Draft],
    tables: list[Table],
    *,
    raw_price: int | None,
    masks: bool = False,
) -> tuple[Section, dict[str, tuple[int, ...]]]:
    """Choose tables for one section, append them, and cut it into chunks."""
    symbols = {d.record.name: _symbols(d, masks=masks) for d in drafts}
    full = [name for name, block in symbols.items() if len(block)]
    planes = [h for name in full for h in _histograms(symbols[name])]
    values = [plane.values for plane in planes]
    union = np.unique(np.concatenate(values)) if values else np.zeros(0, np.int64)
    if len(union) > spec.MAX_SYMBOLS:
        raise ContentError(
            f"{len(union)} different latents, at most {spec.MAX_SYMBOLS} are held"
        )
    new, flat = share_tables(planes, first_id=len(tables) + 1, raw_price=raw_price)
    # A tensor without rows still names tables; any will do, there is nothing to code.
    spare = spec.RAW_TABLE if raw_price is not None else 1
    if raw_price is None and drafts and not new and not tables:
        new = [Table(np.zeros(1, np.int64), np.array([1 << 10]), 10)]
    tables.extend(new)
    ids: dict[str, tuple[int, ...]] = {}
    rest = iter(flat)
    for name, block in symbols.items():
        columns = range(block.shape[1])
        ids[name] = tuple(next(rest) if len(block) else spare for _ in columns)
    matrices = [
        Matrix(Layout(name, len(block), ids[name]), block)
        for name, block in symbols.items()
    ]
    prices = [price(matrix, tables) for matrix in matrices]
    sizes = cut([matrix.layout for matrix in matrices], prices)
    return Section(tuple(matrices), tuple(prices), tuple(sizes)), ids


def _symbols(draft: _Draft, *, masks: bool) -> NDArray[np.int32] | NDArray[np.uint8]:
    block = draft.mask[:, None].astype(np.int32) if masks else draft.symbols  # type: ignore[index]
    if block is None:
        raise ValueError(f"{draft.record.name!r} has no symbols")
    return block


def _shares(masks: Section, latents: Section) -> dict[str, int]:
    """Return the part of the payload that each tensor takes, in bytes."""
    shares: dict[str, int] = {}
    for section in (masks, latents):
        for matrix, bits in zip(section.matrices, section.prices, strict=True):
            name = matrix.layout.name
            shares[name] = shares.get(name, 0) + bits
    return {name: -(-bits // (8 << PRICE_BITS)) for name, bits in shares.items()}


def _finish(
    record: TensorRecord,
    ids: tuple[int, ...],
    mask_ids: dict[str, tuple[int, ...]],
    shares: dict[str, int],
) -> TensorRecord:
    if isinstance(record, ExactRecord):
        return replace(record, tables=ids)
    if isinstance(record, LatentRecord):
        mask_table = mask_ids.get(record.name, (0,))[0]
        coded = shares[record.name]
        return replace(record, tables=ids, mask_table=mask_table, coded_bytes=coded)
    return record
