"""The header: what each tensor is, and where its parts lie.

Written column by column, so that like is next to like and packs well. The writer and
the reader are mirror images: same order, same names.
"""

from collections.abc import Iterator, Sequence

from lnx import spec
from lnx.binary.json_record import dump_record, load_record
from lnx.binary.wire import Reader, Writer
from lnx.errors import FormatError, printable
from lnx.parts.columns import (
    Slot,
    enum_of,
    read_aliases,
    read_exacts,
    read_fills,
    read_fixed,
    read_latents,
    split,
    with_left_out,
    write_aliases,
    write_exacts,
    write_fills,
    write_fixed,
    write_latents,
)
from lnx.parts.names import read_names, write_names
from lnx.parts.records import (
    AliasRecord,
    Chunk,
    ClassTables,
    ExactRecord,
    FillRecord,
    FixedRecord,
    Header,
    LatentRecord,
    PackedBlock,
    TensorRecord,
)
from lnx.parts.sections import (
    EXACT,
    FIXED,
    LATENTS,
    MASKS,
    SCALES,
    SECTIONS,
    SectionKind,
    check_chunks,
    layouts_of,
)
from lnx.spec import Kind, Packing
from lnx.tensors.container import Metadata, Record, extent, is_metadata


def write_header(header: Header) -> bytes:
    """Return the plain bytes of a header; raises ContentError."""
    writer, records = Writer(), header.records
    write_names(writer, [record.name for record in records])
    writer.raw(bytes(record.kind for record in records))
    _write_shapes(writer, [r.shape for r in records if not isinstance(r, AliasRecord)])
    write_latents(writer, [r for r in records if isinstance(r, LatentRecord)])
    write_exacts(writer, [r for r in records if isinstance(r, ExactRecord)])
    fixed = [r for r in records if isinstance(r, FixedRecord)]
    write_fixed(writer, fixed, bool(header.required & spec.LEAVES_OUT))
    write_fills(writer, [r for r in records if isinstance(r, FillRecord)])
    write_aliases(writer, [r for r in records if isinstance(r, AliasRecord)])
    for block in (header.tables, header.decoders):
        writer.varints([block.packing, block.stored, block.plain])
    _write_classes(writer, header.class_tables)
    for kind in SECTIONS:
        _write_chunks(writer, header.chunks(kind.name))
    writer.raw(header.blocks_digest + header.integers_digest + header.rebuilt_digest)
    _write_record(writer, header.architecture, spec.MAX_RECORD_BYTES)
    _write_record(writer, header.training, spec.MAX_RECORD_BYTES)
    _write_record(writer, header.metadata, spec.MAX_METADATA_BYTES)
    return writer.getvalue()


def read_header(data: bytes, required: int = 0) -> Header:
    """Read the plain bytes of a header; raises FormatError for bytes that are none.

    `required` are the features that the file has.
    """
    reader = Reader(data)
    names = read_names(reader)
    kinds = [enum_of(Kind, "kind", byte) for byte in reader.raw("kinds", len(names))]
    leaves_out = bool(required & spec.LEAVES_OUT)
    records = _read_records(reader, names, kinds, leaves_out)
    header = Header(
        records=records,
        tables=_read_block(reader, "tables"),
        decoders=_read_block(reader, "decoders"),
        class_tables=_read_classes(reader),
        scales=_read_chunks(reader, SCALES, records),
        masks=_read_chunks(reader, MASKS, records),
        latents=_read_chunks(reader, LATENTS, records),
        fixed=_read_chunks(reader, FIXED, records),
        exact=_read_chunks(reader, EXACT, records),
        blocks_digest=reader.raw("blocks digest", spec.BLOCKS_DIGEST_BYTES),
        integers_digest=reader.raw("integers digest", spec.CONTENT_DIGEST_BYTES),
        rebuilt_digest=reader.raw("rebuilt digest", spec.CONTENT_DIGEST_BYTES),
        architecture=_read_record(reader, "architecture record", spec.MAX_RECORD_BYTES),
        training=_read_record(reader, "training record", spec.MAX_RECORD_BYTES),
        metadata=_read_metadata(reader),
    )
    reader.end("the header")
    return header


def _read_records(
    reader: Reader, names: Sequence[str], kinds: Sequence[Kind], leaves_out: bool
) -> tuple[TensorRecord, ...]:
    """Read the columns of all kinds; return the records in the order of the tensors."""
    shaped = [
        name for name, kind in zip(names, kinds, strict=True) if kind is not Kind.ALIAS
    ]
    slots: dict[Kind, list[Slot]] = {kind: [] for kind in Kind}
    shapes = iter(_read_shapes(reader, shaped))
    for name, kind in zip(names, kinds, strict=True):
        if kind is not Kind.ALIAS:
            slots[kind].append((name, next(shapes)))
    columns: dict[Kind, Iterator[TensorRecord]] = {
        Kind.LATENT: iter(read_latents(reader, slots[Kind.LATENT])),
        Kind.EXACT: iter(read_exacts(reader, slots[Kind.EXACT])),
        Kind.FIXED: iter(read_fixed(reader, slots[Kind.FIXED], leaves_out)),
        Kind.FILL: iter(read_fills(reader, slots[Kind.FILL])),
        Kind.ALIAS: iter(read_aliases(reader, names, kinds)),
    }
    return with_left_out([next(columns[kind]) for kind in kinds])


def _write_shapes(writer: Writer, shapes: Sequence[tuple[int, ...]]) -> None:
    writer.raw(bytes(len(shape) for shape in shapes))
    for shape in shapes:
        writer.varints(list(shape))


def _read_shapes(reader: Reader, names: Sequence[str]) -> list[tuple[int, ...]]:
    ranks = reader.raw("ranks", len(names))
    for name, rank in zip(names, ranks, strict=True):
        if rank > spec.MAX_DIMENSIONS:
            raise FormatError(
                f"tensor {printable(name)}: {rank} dimensions,"
                f" at most {spec.MAX_DIMENSIONS} are allowed"
            )
    shapes = split(reader.varints("dimension", sum(ranks), spec.MAX_ELEMENTS), ranks)
    for name, shape in zip(names, shapes, strict=True):
        if extent(shape) > spec.MAX_ELEMENTS:
            raise FormatError(
                f"tensor {printable(name)}: a shape of over {spec.MAX_ELEMENTS}"
                " elements is too large"
            )
    return shapes


def _read_block(reader: Reader, name: str) -> PackedBlock:
    packing = enum_of(Packing, f"packing of {name}", reader.raw("packing", 1)[0])
    stored = reader.varint(f"stored bytes of {name}", spec.MAX_BLOCK_BYTES)
    plain = reader.varint(f"plain bytes of {name}", spec.MAX_BLOCK_BYTES)
    return PackedBlock(packing, stored, plain)


def _write_classes(writer: Writer, tables: ClassTables) -> None:
    writer.varints([len(tables.ids), tables.first, *tables.ids])


def _read_classes(reader: Reader) -> ClassTables:
    count = reader.varint("number of classes", spec.CLASSES)
    first = reader.varint("first class", spec.CLASSES - count)
    ids = reader.varints("table of a class", count, spec.MAX_TABLES, least=1)
    return ClassTables(first, tuple(ids))


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


def _write_record(writer: Writer, record: Record | None, cap: int) -> None:
    writer.text("" if record is None else dump_record(record), cap)


def _read_record(reader: Reader, name: str, cap: int) -> Record | None:
    text = reader.text(name, cap)
    if not text:
        return None
    record = load_record(name, text)
    if not isinstance(record, dict):
        raise FormatError(f"{name} is not a JSON object")
    return record


def _read_metadata(reader: Reader) -> Metadata | None:
    metadata = _read_record(reader, "metadata", spec.MAX_METADATA_BYTES)
    if metadata is not None and not is_metadata(metadata):
        raise FormatError("metadata holds a value that is not text")
    return metadata
