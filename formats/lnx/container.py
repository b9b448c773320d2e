"""Container <-> bytes. `dumps` and `loads` are mirror images.

file = prefix, header, tables, decoders, masks, latents, exact, file digest
"""

from collections.abc import Sequence

from lnx import spec
from lnx.assemble import SymbolLists, assemble
from lnx.content import Container
from lnx.errors import ContentError, CorruptError, FormatError, LimitError
from lnx.frame import (
    Frame,
    Sizes,
    check_budget,
    check_length,
    layouts,
    read_frame,
    write_frame,
)
from lnx.header import write_header
from lnx.plan import Plan, Section, make_plan
from lnx.rebuild import integers_digest, rebuilt_digest
from lnx.records import Chunk, Header
from lnx.sections import (
    EXACT,
    LATENTS,
    MASKS,
    STREAM_END_BITS,
    check_tables,
    decode_section,
    encode_section,
    section_bytes,
)
from lnx.side import (
    Block,
    pack_decoders,
    pack_tables,
    side_digest,
    unpack_decoders,
    unpack_tables,
)
from lnx.tables import PRICE_BITS, Table
from lnx.wire import digest, pack

BODY = ("tables", "decoders", MASKS.name, LATENTS.name, EXACT.name)


def dumps(container: Container) -> bytes:
    """Return the bytes of a file. Raises ContentError for what it cannot hold."""
    plan = make_plan(container)
    tables, decoders = pack_tables(plan.tables), pack_decoders(container.decoders)
    coded = [
        encode_section(section.matrices, plan.tables, section.sizes)
        for section in (plan.masks, plan.latents, plan.exact)
    ]
    header = _header(container, plan, tables, decoders, [c for c, _ in coded])
    body = tables.stored + decoders.stored + b"".join(data for _, data in coded)
    data = write_frame(write_header(header), len(body)) + body
    return data + digest(spec.FILE_DIGEST_BYTES, data)


def estimate(container: Container) -> Sizes:
    """Return the sizes of the file that `dumps` would write, without coding it."""
    plan = make_plan(container)
    tables, decoders = pack_tables(plan.tables), pack_decoders(container.decoders)
    sections = (plan.masks, plan.latents, plan.exact)
    chunks = [_expected_chunks(section) for section in sections]
    header = _header(container, plan, tables, decoders, chunks)
    _, packed = pack(write_header(header))
    masks, latents, exact = (
        section_bytes([m.layout for m in section.matrices], expected)
        for section, expected in zip(sections, chunks, strict=True)
    )
    return Sizes(
        prefix=spec.PREFIX_BYTES,
        header=len(packed),
        tables=len(tables.stored),
        decoders=len(decoders.stored),
        masks=masks,
        latents=latents,
        exact=exact,
        digest=spec.FILE_DIGEST_BYTES,
    )


def loads(data: bytes, *, max_size: int = spec.DEFAULT_MAX_SIZE) -> Container:
    """Return the container of a file, every hash checked.

    Raises FormatError for bytes that are no legal file, CorruptError where a hash
    differs, VersionError where a newer reader is needed, LimitError where the tensors
    would take more than max_size bytes.
    """
    frame = read_frame(data)
    check_length(frame, len(data))
    check_budget(frame.header, max_size)
    try:
        container = _decode(data, frame)  # a damaged chunk names its tensors
    except MemoryError as error:
        raise LimitError("the file needs more memory than there is") from error
    end = len(data) - spec.FILE_DIGEST_BYTES
    if digest(spec.FILE_DIGEST_BYTES, data[:end]) != data[end:]:
        raise CorruptError("the file's hash differs: it was damaged")
    if integers_digest(container) != frame.header.integers_digest:
        raise CorruptError("decoded integers do not match their hash")
    if rebuilt_digest(container) != frame.header.rebuilt_digest:
        raise CorruptError(
            "weights rebuilt on this machine do not match their hash, though the"
            " integers do: its float32 arithmetic is at fault"
        )
    return container


def _header(
    container: Container,
    plan: Plan,
    tables: Block,
    decoders: Block,
    chunks: Sequence[Sequence[Chunk]],
) -> Header:
    masks, latents, exact = (tuple(section) for section in chunks)
    try:
        rebuilt = rebuilt_digest(container)
    except FormatError as error:
        raise ContentError(str(error)) from error
    return Header(
        records=plan.records,
        tables=tables.entry,
        decoders=decoders.entry,
        side_digest=side_digest(tables.stored, decoders.stored),
        masks=masks,
        latents=latents,
        exact=exact,
        integers_digest=integers_digest(container),
        rebuilt_digest=rebuilt,
        architecture=container.architecture,
        summary=container.summary,
    )


def _expected_chunks(section: Section) -> list[Chunk]:
    """Return chunks of the expected length; their digests only take the space."""
    held = [matrix.layout for matrix in section.matrices]
    total = sum(section.prices) >> PRICE_BITS
    raw = 8 * sum(x.rows * x.tables.count(spec.RAW_TABLE) for x in held)
    rows = sum(section.sizes)
    chunks = []
    for number, size in enumerate(section.sizes):
        bits = (total - raw) * size // rows + STREAM_END_BITS if total > raw else 0
        words = bits // (8 * spec.WORD_BYTES)
        check = digest(spec.CHUNK_DIGEST_BYTES, number.to_bytes(4, "little"))
        chunks.append(Chunk(size, words, check))
    return chunks


def _decode(data: bytes, frame: Frame) -> Container:
    header, sizes = frame.header, frame.sizes
    parts = {}
    at = sizes.prefix + sizes.header
    for name in BODY:
        parts[name] = data[at : at + getattr(sizes, name)]
        at += getattr(sizes, name)
    if side_digest(parts["tables"], parts["decoders"]) != header.side_digest:
        raise CorruptError("tables or decoders are damaged: their hash differs")
    tables = unpack_tables(header.tables, parts["tables"])
    decoders = unpack_decoders(header.decoders, parts["decoders"])
    masks, latents, exact = _decode_sections(header, parts, tables)
    tensors = assemble(header, decoders, masks, latents, exact)
    return Container(tensors, decoders, header.architecture, header.summary)


def _decode_sections(
    header: Header, parts: dict[str, bytes], tables: tuple[Table, ...]
) -> tuple[SymbolLists, SymbolLists, SymbolLists]:
    decoded = []
    for kind, held in zip((MASKS, LATENTS, EXACT), layouts(header), strict=True):
        check_tables(held, tables, kind)
        chunks: tuple[Chunk, ...] = getattr(header, kind.name)
        decoded.append(decode_section(kind, parts[kind.name], held, tables, chunks))
    return decoded[0], decoded[1], decoded[2]
