"""Bytes -> tensors, one at a time: only what is asked for is read and decoded."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from lnx import spec
from lnx.coding import range_coder
from lnx.coding.parallel import Coder, ToDecode
from lnx.dtypes import Bytes, Symbols
from lnx.errors import CorruptError, located, printable
from lnx.parts.chunks import ClassMap, Order, blank, order_of, scatter
from lnx.parts.records import (
    ExactRecord,
    FixedRecord,
    Header,
    LatentRecord,
    TensorRecord,
)
from lnx.parts.sections import (
    EXACT,
    FIXED,
    LATENTS,
    MASKS,
    SCALES,
    SECTIONS,
    Layout,
    Piece,
    SectionKind,
    layouts_of,
)
from lnx.read.assemble import assemble
from lnx.read.opening import Opened, StoredChunk, read_chunk, stored_chunks
from lnx.tensors.classes import Scales
from lnx.tensors.container import Alias, Tensor
from lnx.tensors.digests import Digests
from lnx.tensors.reconstruct import AnyArray, rebuild


def read_tensors(
    opened: Opened, coder: Coder, wanted: Collection[str] | None = None
) -> Iterator[tuple[Tensor, AnyArray | None]]:
    """Yield tensors in order, each beside its rebuilt array; aliases have none.

    With wanted, those names only, and nothing else is decoded; without, the digests of
    all integers and of all rebuilt tensors are checked at the end. Raises FormatError.
    """
    records = opened.header.records
    chosen = [r for r in records if wanted is None or r.name in wanted]
    classes = read_classes(opened, coder)
    symbols = {
        kind: _read_matrices(opened, coder, kind, {r.name for r in chosen}, classes)
        for kind in SECTIONS
    }
    digests, followed = Digests(), _followed(records)
    hashed: Callable[[], None] = _nothing
    for record in chosen:
        with located(f"tensor {printable(record.name)}"):
            needed = {kind: next(symbols[kind]) for kind in _sections(record)}
            mask = needed.pop(MASKS, None)
            leader = followed.get(record.name)
            tensor = assemble(
                record,
                records,
                opened.decoders,
                mask,
                next(iter(needed.values()), None),
                None if leader is None else classes.scales[leader].stored_rows,
            )
            array = None
            if not isinstance(tensor, Alias):
                array = rebuild(tensor, opened.decoders)
        if wanted is None:
            hashed()
            hashed = coder.aside(partial(digests.add, tensor, array))
        yield tensor, array
    if wanted is None:
        hashed()
        digests.add_decoders(opened.decoders)
        _check_digests(digests, opened.header)


def read_classes(opened: Opened, coder: Coder) -> ClassMap:
    """Read the scales of all tensors: without them no chunk of latents can be read."""
    header = opened.header
    records = [r for r in header.records if isinstance(r, LatentRecord) and r.classed]
    found = ClassMap({}, header.class_tables)
    names = {record.name for record in records}
    matrices = _read_matrices(opened, coder, SCALES, names, found)
    scales = {
        record.name: Scales.of(numbers.astype(np.int8)[:, 0], record.grid)
        for record, numbers in zip(records, matrices, strict=True)
    }
    return replace(found, scales=scales)


def _followed(records: Sequence[TensorRecord]) -> dict[str, str]:
    """Return, by name, which tensors the ones that leave out elements follow."""
    return {
        record.name: records[i - record.back].name
        for i, record in enumerate(records)
        if isinstance(record, FixedRecord) and record.back
    }


def _nothing() -> None:
    """Take the place of the hashing of a tensor before the first."""


def _sections(record: TensorRecord) -> list[SectionKind]:
    """Return the sections that hold a part of a tensor."""
    if isinstance(record, LatentRecord):
        return [MASKS, LATENTS] if record.masked else [LATENTS]
    if isinstance(record, FixedRecord):
        return [FIXED]
    return [EXACT] if isinstance(record, ExactRecord) else []


def _check_digests(digests: Digests, header: Header) -> None:
    if digests.integers() != header.integers_digest:
        raise CorruptError("decoded integers do not match their hash")
    if digests.rebuilt() != header.rebuilt_digest:
        raise CorruptError(
            "weights rebuilt on this machine do not match their hash, though the"
            " integers do: its float32 arithmetic is at fault"
        )


def _read_matrices(
    opened: Opened,
    coder: Coder,
    kind: SectionKind,
    names: Collection[str],
    classes: ClassMap,
) -> Iterator[Symbols]:
    """Yield the symbols of some tensors of a section, in order."""
    layouts = layouts_of(kind, opened.header.records)
    wanted = [i for i, layout in enumerate(layouts) if layout.name in names]
    chosen = set(wanted)
    start = opened.starts[kind.name]
    stored = [
        chunk
        for chunk in stored_chunks(kind, opened.header, layouts, start)
        if any(part.matrix in chosen for part in chunk.parts)
    ]
    matrices: dict[int, Symbols] = {}
    filled = dict.fromkeys(wanted, 0)
    chunks = _decode_chunks(opened, coder, kind, layouts, stored, classes)
    for matrix in wanted:
        while filled[matrix] < layouts[matrix].rows:
            chunk = next(chunks)
            for part in chunk.parts:
                if part.matrix in chosen:
                    filled[part.matrix] += part.rows
                    if part.matrix not in matrices:
                        layout = layouts[part.matrix]
                        room = blank(layout, kind, opened.tables, classes)
                        matrices[part.matrix] = room
            scatter(chunk.order, chunk.raw, chunk.runs, matrices)
        done = matrices.pop(matrix, None)
        if done is None:  # a matrix without rows
            done = blank(layouts[matrix], kind, opened.tables, classes)
        yield done


class _Decoded(NamedTuple):
    """What a chunk holds: raw bytes, and the symbols of each run of its order."""

    order: Order
    raw: Bytes
    runs: list[Symbols]
    parts: tuple[Piece, ...]


def _decode_chunks(
    opened: Opened,
    coder: Coder,
    kind: SectionKind,
    layouts: Sequence[Layout],
    stored: Sequence[StoredChunk],
    classes: ClassMap,
) -> Iterator[_Decoded]:
    """Yield what each chunk holds, decoded in batches."""
    batches = (
        _read_batch(opened, kind, layouts, batch, classes)
        for batch in _batches(stored, layouts)
    )
    for chunks, found in coder.decode(batches):
        for (order, raw, parts), runs in zip(chunks, found, strict=True):
            yield _Decoded(order, np.frombuffer(raw, np.uint8), runs, parts)


def _read_batch(
    opened: Opened,
    kind: SectionKind,
    layouts: Sequence[Layout],
    batch: Iterable[StoredChunk],
    classes: ClassMap,
) -> tuple[list[tuple[Order, bytes, tuple[Piece, ...]]], list[ToDecode]]:
    """Return order, raw bytes and pieces of some chunks, and their messages."""
    chunks, messages = [], []
    for place in batch:
        data = read_chunk(opened.source, kind, layouts, place)
        order = order_of(layouts, place.parts, opened.tables, classes)
        words = place.chunk.words * spec.WORD_BYTES
        chunks.append((order, data[words:], place.parts))
        messages.append((data[:words], order.runs))
    return chunks, messages


def _batches(
    stored: Iterable[StoredChunk], layouts: Sequence[Layout]
) -> Iterator[list[StoredChunk]]:
    """Group chunks so that a batch is worth a process, or fills the lanes."""
    batch: list[StoredChunk] = []
    cells, most = 0, range_coder.batch_cells()
    for chunk in stored:
        batch.append(chunk)
        cells += sum(part.rows * layouts[part.matrix].columns for part in chunk.parts)
        if cells >= most:
            yield batch
            batch, cells = [], 0
    if batch:
        yield batch
