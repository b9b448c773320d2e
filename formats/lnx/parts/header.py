"""The header: what each tensor is, and where its parts lie.

Written column by column, so that like stands beside like and packs well. The writer
and the reader are mirror images: same order, same names.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from lnx import spec
from lnx.binary.wire import Reader, Writer, dump_record, load_record
from lnx.dtypes import ITEM_BYTES, DType, can_widen
from lnx.errors import FormatError, located, printable
from lnx.parts.records import (
    AliasRecord,
    Chunk,
    ExactRecord,
    FillRecord,
    Header,
    LatentRecord,
    SideBlock,
    TensorRecord,
)
from lnx.parts.sections import (
    EXACT,
    LATENTS,
    MASKS,
    SectionKind,
    check_chunks,
    layouts_of,
)
from lnx.spec import Kind, Packing
from lnx.tensors.container import Record, elements, extent

EnumT = TypeVar("EnumT", Kind, DType, Packing)


def write_header(header: Header) -> bytes:
    """Return the plain bytes of a header."""
    writer = Writer()
    _write_names(writer, [record.name for record in header.records])
    writer.raw(bytes(record.kind for record in header.records))
    shaped = [r for r in header.records if not isinstance(r, AliasRecord)]
    writer.raw(bytes(len(record.shape) for record in shaped))
    for record in shaped:
        writer.varints(list(record.shape))
    _write_latents(writer, [r for r in shaped if isinstance(r, LatentRecord)])
    _write_exacts(writer, [r for r in shaped if isinstance(r, ExactRecord)])
    for fill in (r for r in shaped if isinstance(r, FillRecord)):
        writer.raw(bytes([fill.dtype]) + fill.element)
    for alias in (r for r in header.records if isinstance(r, AliasRecord)):
        writer.varint(alias.target)
    for block in (header.tables, header.decoders):
        writer.varints([block.packing, block.stored, block.plain])
    for chunks in (header.masks, header.latents, header.exact):
        _write_chunks(writer, chunks)
    writer.raw(header.side_digest + header.integers_digest + header.rebuilt_digest)
    for record_value in (header.architecture, header.summary):
        text = "" if record_value is None else dump_record(record_value)
        writer.text(text, spec.MAX_RECORD_BYTES)
    return writer.getvalue()


def read_header(data: bytes) -> Header:
    """Read the plain bytes of a header; what cannot be is refused."""
    reader = Reader(data)
    names = _read_names(reader)
    kinds = [_enum(Kind, "kind", byte) for byte in reader.raw("kinds", len(names))]
    shaped = [
        name for name, kind in zip(names, kinds, strict=True) if kind is not Kind.ALIAS
    ]
    shapes = iter(_read_shapes(reader, shaped))
    slots = [
        (name, kind, () if kind is Kind.ALIAS else next(shapes))
        for name, kind in zip(names, kinds, strict=True)
    ]
    columns: dict[Kind, Iterator[TensorRecord]] = {
        Kind.LATENT: iter(_read_latents(reader, _of(slots, Kind.LATENT))),
        Kind.EXACT: iter(_read_exacts(reader, _of(slots, Kind.EXACT))),
        Kind.FILL: iter(_read_fills(reader, _of(slots, Kind.FILL))),
        Kind.ALIAS: iter(_read_aliases(reader, names, kinds)),
    }
    records = tuple(next(columns[kind]) for kind in kinds)
    return Header(
        records=records,
        tables=_read_block(reader, "tables"),
        decoders=_read_block(reader, "decoders"),
        masks=_read_chunks(reader, MASKS, records),
        latents=_read_chunks(reader, LATENTS, records),
        exact=_read_chunks(reader, EXACT, records),
        side_digest=reader.raw("side digest", spec.SIDE_DIGEST_BYTES),
        integers_digest=reader.raw("integers digest", spec.CONTENT_DIGEST_BYTES),
        rebuilt_digest=reader.raw("rebuilt digest", spec.CONTENT_DIGEST_BYTES),
        architecture=_read_record(reader, "architecture record"),
        summary=_read_record(reader, "training summary", last=True),
    )


def _write_names(writer: Writer, names: Sequence[str]) -> None:
    writer.varint(len(names))
    for name in names:
        writer.text(name, spec.MAX_NAME_BYTES)


def _read_names(reader: Reader) -> list[str]:
    count = reader.varint("number of tensors", spec.MAX_TENSORS)
    names = [reader.text("tensor name", spec.MAX_NAME_BYTES) for _ in range(count)]
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise FormatError(f"two tensors are named {printable(name)}")
        seen.add(name)
    return names


Slot = tuple[str, Kind, tuple[int, ...]]


def _of(slots: Sequence[Slot], kind: Kind) -> list[Slot]:
    return [slot for slot in slots if slot[1] is kind]


def _read_shapes(reader: Reader, names: Sequence[str]) -> list[tuple[int, ...]]:
    ranks = reader.raw("ranks", len(names))
    for name, rank in zip(names, ranks, strict=True):
        if rank > spec.MAX_DIMENSIONS:
            raise FormatError(
                f"tensor {printable(name)}: {rank} dimensions,"
                f" at most {spec.MAX_DIMENSIONS} are allowed"
            )
    shapes = _split(reader.varints("dimension", sum(ranks), spec.MAX_ELEMENTS), ranks)
    for name, shape in zip(names, shapes, strict=True):
        if extent(shape) > spec.MAX_ELEMENTS:
            raise FormatError(
                f"tensor {printable(name)}: {extent(shape)} elements are too many"
            )
    return shapes


def _split(values: Sequence[int], lengths: Iterable[int]) -> list[tuple[int, ...]]:
    """Cut values, which stand one after the other, into parts of some lengths."""
    at, parts = 0, []
    for length in lengths:
        parts.append(tuple(values[at : at + length]))
        at += length
    return parts


COUNTS = ("nonzero", "zero_slices", "zero_rows", "zero_columns", "coded_bytes")


def _write_latents(writer: Writer, records: Sequence[LatentRecord]) -> None:
    for column in ("slice_length", "decoder", "mask_table"):
        writer.varints([getattr(record, column) for record in records])
    for record in records:
        writer.varints(list(record.tables))
    for column in COUNTS:
        writer.varints([getattr(record, column) for record in records])


def _read_latents(reader: Reader, slots: Sequence[Slot]) -> list[LatentRecord]:
    count = len(slots)
    lengths = reader.varints("slice length", count, spec.MAX_SLICE, least=1)
    decoders = reader.varints("decoder", count, spec.MAX_DECODERS)
    masks = reader.varints("mask table", count, spec.MAX_TABLES)
    if sum(lengths) > spec.MAX_PLANES:
        raise FormatError(f"{sum(lengths)} planes, at most {spec.MAX_PLANES}")
    ids = reader.varints("table id", sum(lengths), spec.MAX_TABLES, least=1)
    tables = _split(ids, lengths)
    counts = [reader.varints(name, count, spec.MAX_ELEMENTS) for name in COUNTS]
    records = []
    for i, (name, _, shape) in enumerate(slots):
        record = LatentRecord(
            name, shape, lengths[i], decoders[i], masks[i], tables[i],
            *(column[i] for column in counts),
        )  # fmt: skip
        with located(f"tensor {printable(name)}"):
            _check_latent(record)
        records.append(record)
    return records


def _check_latent(record: LatentRecord) -> None:
    count = elements(record.shape)
    if count % record.slice_length:
        raise FormatError(
            f"slices of {record.slice_length} do not divide {count} elements"
        )
    if record.zero_slices > record.slices:
        raise FormatError(f"{record.zero_slices} of {record.slices} slices are zero")
    alive = record.slices - record.zero_slices
    if not alive <= record.nonzero <= alive * record.slice_length:
        raise FormatError(f"{record.nonzero} non-zero weights in {alive} slices")
    zeros = (record.zero_rows, record.zero_columns)
    if any(zero > size for zero, size in zip(zeros, record.channels, strict=True)):
        rows, columns = record.channels
        raise FormatError(
            f"{zeros[0]} of {rows} rows and {zeros[1]} of {columns} columns are zero"
        )
    if record.mask_table and record.slice_length == 1:
        raise FormatError("a mask over slices of length 1")


def _write_exacts(writer: Writer, records: Sequence[ExactRecord]) -> None:
    writer.raw(bytes(record.dtype for record in records))
    writer.raw(bytes(record.held for record in records))
    for record in records:
        writer.varints(list(record.tables))


def _read_exacts(reader: Reader, slots: Sequence[Slot]) -> list[ExactRecord]:
    dtypes = [_enum(DType, "dtype", b) for b in reader.raw("dtypes", len(slots))]
    held = [_enum(DType, "held dtype", b) for b in reader.raw("dtypes", len(slots))]
    records = []
    for (name, _, shape), dtype, short in zip(slots, dtypes, held, strict=True):
        if not can_widen(short, dtype):
            raise FormatError(
                f"tensor {printable(name)}: {dtype.name} held as {short.name}"
            )
        records.append(ExactRecord(name, shape, dtype, short, ()))
    sizes = [ITEM_BYTES[short] for short in held]
    ids = _split(reader.varints("table id", sum(sizes), spec.MAX_TABLES), sizes)
    return [
        replace(record, tables=tables)
        for record, tables in zip(records, ids, strict=True)
    ]


def _read_fills(reader: Reader, slots: Sequence[Slot]) -> list[FillRecord]:
    records = []
    for name, _, shape in slots:
        dtype = _enum(DType, "dtype", reader.raw("dtype", 1)[0])
        element = reader.raw("fill element", ITEM_BYTES[dtype])
        records.append(FillRecord(name, shape, dtype, element))
    return records


def _read_aliases(
    reader: Reader, names: Sequence[str], kinds: Sequence[Kind]
) -> list[AliasRecord]:
    records = []
    for i, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        if kind is Kind.ALIAS:
            target = reader.varint("alias target", spec.MAX_TENSORS)
            if target >= i or kinds[target] is Kind.ALIAS:
                raise FormatError(
                    f"alias {printable(name)} points to entry {target},"
                    " which is no earlier tensor"
                )
            records.append(AliasRecord(name, target))
    return records


def _read_block(reader: Reader, name: str) -> SideBlock:
    packing = _enum(Packing, f"packing of {name}", reader.raw("packing", 1)[0])
    stored = reader.varint(f"stored bytes of {name}", spec.MAX_SIDE_BYTES)
    plain = reader.varint(f"plain bytes of {name}", spec.MAX_SIDE_BYTES)
    return SideBlock(packing, stored, plain)


def _write_chunks(writer: Writer, chunks: Sequence[Chunk]) -> None:
    writer.varint(len(chunks))
    writer.varints([chunk.rows for chunk in chunks])
    writer.varints([chunk.words for chunk in chunks])
    writer.raw(b"".join(chunk.digest for chunk in chunks))


def _read_chunks(
    reader: Reader, kind: SectionKind, records: Sequence[TensorRecord]
) -> tuple[Chunk, ...]:
    layouts, name = layouts_of(kind, records), kind.name
    rows = sum(layout.rows for layout in layouts)
    count = reader.varint(f"number of chunks of {name}", spec.MAX_CHUNKS)
    sizes = reader.varints(f"rows of a chunk of {name}", count, rows, least=1)
    words = reader.varints(f"words of a chunk of {name}", count, spec.MAX_ELEMENTS)
    size = spec.CHUNK_DIGEST_BYTES
    digests = reader.raw(f"digests of {name}", count * size)
    parts = (digests[at : at + size] for at in range(0, len(digests), size))
    chunks = tuple(map(Chunk, sizes, words, parts))
    check_chunks(kind, layouts, chunks)
    return chunks


def _read_record(reader: Reader, name: str, *, last: bool = False) -> Record | None:
    text = reader.text(name, spec.MAX_RECORD_BYTES)
    if last:
        reader.end("the header")
    if not text:
        return None
    record = load_record(name, text)
    if not isinstance(record, dict):
        raise FormatError(f"{name} is no JSON object")
    return record


def _enum(enum: type[EnumT], name: str, code: int) -> EnumT:
    try:
        return enum(code)
    except ValueError:
        raise FormatError(f"{name} {code} is unknown") from None
