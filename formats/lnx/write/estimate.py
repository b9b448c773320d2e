"""The size of a file that is not written."""

from lnx import spec
from lnx.binary.wire import digest, pack
from lnx.coding.tables import PRICE_BITS
from lnx.parts.blocks import pack_decoders, pack_tables
from lnx.parts.header import write_header
from lnx.parts.prefix import Sizes
from lnx.parts.records import Chunk
from lnx.parts.sections import STREAM_END_BITS, section_bytes
from lnx.tensors.container import Container
from lnx.tensors.digests import Digests
from lnx.write.encode import make_header
from lnx.write.plan import Section, make_plan


def estimate(container: Container) -> Sizes:
    """Return the sizes of the file that `dumps` would write, without coding it."""
    plan = make_plan(container)
    tables, decoders = pack_tables(plan.tables), pack_decoders(container.decoders)
    chunks = [_expected_chunks(section) for section in plan.sections]
    header = make_header(container, plan, tables, decoders, chunks, Digests())
    _, packed = pack(write_header(header))
    scales, masks, latents, fixed, exact = (
        section_bytes(section.layouts, expected)
        for section, expected in zip(plan.sections, chunks, strict=True)
    )
    return Sizes(
        prefix=spec.PREFIX_BYTES,
        header=len(packed),
        tables=len(tables.stored),
        decoders=len(decoders.stored),
        scales=scales,
        masks=masks,
        latents=latents,
        fixed=fixed,
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
