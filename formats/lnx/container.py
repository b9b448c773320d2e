"""Container <-> bytes. `dumps` and `loads` are mirror images."""

import io

from lnx import spec
from lnx.content import Container
from lnx.errors import LimitError
from lnx.frame import Sizes
from lnx.header import write_header
from lnx.layout import STREAM_END_BITS, section_bytes
from lnx.opening import open_source
from lnx.plan import Section, make_plan
from lnx.reading import read_tensors
from lnx.reconstruction import Digests
from lnx.records import Chunk
from lnx.side import pack_decoders, pack_tables
from lnx.source import Memory, Source
from lnx.tables import PRICE_BITS
from lnx.wire import digest, pack
from lnx.workers import Coder
from lnx.writing import make_header, write


def dumps(container: Container, *, jobs: int = 1) -> bytes:
    """Return the bytes of a file. Raises ContentError for what it cannot hold."""
    file = io.BytesIO()
    with Coder(jobs) as coder:
        write(container, file, coder)
    return file.getvalue()


def loads(
    data: bytes, *, max_size: int = spec.DEFAULT_MAX_SIZE, jobs: int = 1
) -> Container:
    """Return the container of a file, every hash checked.

    Raises FormatError for bytes that are no legal file, CorruptError where a hash
    differs, VersionError where a newer reader is needed, LimitError where the tensors
    would take more than max_size bytes.
    """
    return load_source(Memory(bytes(data)), max_size=max_size, jobs=jobs)


def load_source(source: Source, *, max_size: int, jobs: int) -> Container:
    """Return the container of a file in memory or on disk, as `loads` does."""
    opened = open_source(source, max_size=max_size)
    try:
        with Coder(jobs) as coder:
            tensors = tuple(tensor for tensor, _ in read_tensors(opened, coder))
    except MemoryError as error:
        raise LimitError("the file needs more memory than there is") from error
    header = opened.header
    return Container(tensors, opened.decoders, header.architecture, header.summary)


def estimate(container: Container) -> Sizes:
    """Return the sizes of the file that `dumps` would write, without coding it."""
    plan = make_plan(container)
    tables, decoders = pack_tables(plan.tables), pack_decoders(container.decoders)
    chunks = [_expected_chunks(section) for section in plan.sections]
    header = make_header(container, plan, tables, decoders, chunks, Digests())
    _, packed = pack(write_header(header))
    masks, latents, exact = (
        section_bytes(section.layouts, expected)
        for section, expected in zip(plan.sections, chunks, strict=True)
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


def _expected_chunks(section: Section) -> list[Chunk]:
    """Return chunks of the expected length; their digests only take the space."""
    total = sum(section.prices) >> PRICE_BITS
    raw = 8 * sum(layout.raw_bytes for layout in section.layouts)
    rows = sum(section.sizes)
    chunks = []
    for number, size in enumerate(section.sizes):
        bits = (total - raw) * size // rows + STREAM_END_BITS if total > raw else 0
        words = bits // (8 * spec.WORD_BYTES)
        check = digest(spec.CHUNK_DIGEST_BYTES, number.to_bytes(4, "little"))
        chunks.append(Chunk(size, words, check))
    return chunks
