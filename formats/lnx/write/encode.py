"""Tensors -> bytes, one at a time: chunks go out as they are coded.

file = prefix, header, tables, decoders, sections, file digest
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import BinaryIO, cast

import numpy as np

from lnx import spec
from lnx.binary.source import BLOCK_BYTES
from lnx.binary.wire import digest
from lnx.coding import range_coder
from lnx.coding.parallel import Coder, ToEncode
from lnx.dtypes import ITEM_BYTES, Symbols, narrow, turn
from lnx.errors import ContentError, FormatError, printable
from lnx.parts.blocks import Block, blocks_digest, pack_decoders, pack_tables
from lnx.parts.bounds import excess_work
from lnx.parts.chunks import gather, order_of
from lnx.parts.header import write_header
from lnx.parts.prefix import write_frame
from lnx.parts.records import (
    Chunk,
    ExactRecord,
    FixedRecord,
    Header,
    LatentRecord,
)
from lnx.parts.sections import MASKS, SCALES, SectionKind, pieces
from lnx.tensors.container import Container, Exact, Latent
from lnx.tensors.digests import Digests, digests_of
from lnx.tensors.fixed_point import to_fixed
from lnx.tensors.slices import alive_rows
from lnx.write.plan import Plan, Section, make_plan

SPOOL_BYTES = 1 << 24  # coded chunks up to here stay in memory


def write(
    container: Container,
    file: BinaryIO,
    coder: Coder,
    folder: str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> int:
    """Write a container to a file and return its length in bytes.

    The header says how long the chunks are, so these are coded first: many of them
    wait in an unnamed file in folder. `progress` is told how many chunks are coded, and
    of how many. Raises ContentError for what a file cannot store, and OSError.
    """
    plan = make_plan(container)
    tables, decoders = pack_tables(plan.tables), pack_decoders(container.decoders)
    digests = coder.aside(partial(_digests, container))
    tick = _count_to(sum(len(section.sizes) for section in plan.sections), progress)
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=folder) as spool:
        body = cast("BinaryIO", spool)
        chunks = [
            encode_section(section, container, plan, coder, body, tick)
            for section in plan.sections
        ]
        blocks = tables.stored + decoders.stored
        length = len(blocks) + body.tell()
        header = make_header(container, plan, tables, decoders, chunks, digests())
        head = write_frame(write_header(header), length, header.required) + blocks
        _check_work(plan, len(head) + body.tell() + spec.FILE_DIGEST_BYTES)
        return _finish(file, head, body)


def _count_to(
    total: int, progress: Callable[[int, int], object] | None
) -> Callable[[int], None]:
    """Return a function that takes how many more chunks are coded."""
    done = 0

    def tick(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    return tick


def _finish(file: BinaryIO, head: bytes, body: BinaryIO) -> int:
    """Write what is known, then the coded chunks, then the hash of all."""
    state = hashlib.blake2b(head, digest_size=spec.FILE_DIGEST_BYTES)
    file.write(head)
    written = len(head) + spec.FILE_DIGEST_BYTES
    body.seek(0)
    while block := body.read(BLOCK_BYTES):
        state.update(block)
        file.write(block)
        written += len(block)
    file.write(state.digest())
    return written


def _check_work(plan: Plan, file_bytes: int) -> None:
    excess = excess_work(plan.records, file_bytes)
    if excess is not None:
        raise ContentError(f"{excess}: use shorter slices")


def make_header(
    container: Container,
    plan: Plan,
    tables: Block,
    decoders: Block,
    chunks: Sequence[Sequence[Chunk]],
    digests: Digests,
) -> Header:
    """Return the header of a file."""
    scales, masks, latents, fixed, exact = (tuple(section) for section in chunks)
    return Header(
        records=plan.records,
        tables=tables.entry,
        decoders=decoders.entry,
        blocks_digest=blocks_digest(tables.stored, decoders.stored),
        class_tables=plan.classes.tables,
        scales=scales,
        masks=masks,
        latents=latents,
        fixed=fixed,
        exact=exact,
        integers_digest=digests.integers(),
        rebuilt_digest=digests.rebuilt(),
        architecture=container.architecture,
        training=container.training,
        metadata=container.metadata,
    )


def _digests(container: Container) -> Digests:
    try:
        return digests_of(container)
    except FormatError as error:
        raise ContentError(str(error)) from error


def encode_section(
    section: Section,
    container: Container,
    plan: Plan,
    coder: Coder,
    body: BinaryIO,
    tick: Callable[[int], None],
) -> list[Chunk]:
    """Append the chunks of a section to body; return their entries.

    `tick` takes the number of chunks after each batch of them.
    """
    chunks = []
    batches = _batches(section, container, plan)
    for raws, words in coder.encode(batches):
        for (rows, raw), coded in zip(raws, words, strict=True):
            data = coded + raw
            check = digest(spec.CHUNK_DIGEST_BYTES, data)
            chunks.append(Chunk(rows, len(coded) // spec.WORD_BYTES, check))
            body.write(data)
        tick(len(raws))
    return chunks


Raws = list[tuple[int, bytes]]


def _batches(
    section: Section, container: Container, plan: Plan
) -> Iterator[tuple[Raws, list[ToEncode]]]:
    """Group the messages of chunks so that a batch is worth a process."""
    raws: Raws = []
    messages: list[ToEncode] = []
    cells, most = 0, range_coder.batch_cells()
    matrix = _matrices(section, container, plan)
    contents = pieces(section.layouts, section.sizes)
    for rows, parts in zip(section.sizes, contents, strict=True):
        order = order_of(section.layouts, parts, plan.tables, plan.classes)
        message, raw = gather(order, matrix)
        raws.append((rows, raw))
        messages.append(message)
        cells += sum(part.rows * section.layouts[part.matrix].columns for part in parts)
        if cells >= most:
            yield raws, messages
            raws, messages, cells = [], [], 0
    if messages:
        yield raws, messages


def _matrices(
    section: Section, container: Container, plan: Plan
) -> Callable[[int], Symbols]:
    """Return a function from a matrix's index to its symbols; it keeps the last one."""
    records = {record.name: record for record in plan.records}
    places = {record.name: i for i, record in enumerate(plan.records)}
    last: tuple[int, Symbols] | None = None

    def matrix(index: int) -> Symbols:
        nonlocal last
        if last is None or last[0] != index:
            layout = section.layouts[index]
            tensor, record = container[layout.name], records[layout.name]
            if isinstance(tensor, Latent) and isinstance(record, LatentRecord):
                last = index, _latent(section.kind, tensor, record, plan)
            elif isinstance(tensor, Exact) and isinstance(record, ExactRecord):
                last = index, _exact(tensor, record)
            elif isinstance(tensor, Exact) and isinstance(record, FixedRecord):
                last = index, _fixed(tensor, record, plan, places[layout.name])
            else:
                raise ContentError(f"{printable(layout.name)} has no symbols")
        return last[1]

    return matrix


def _latent(
    kind: SectionKind, tensor: Latent, record: LatentRecord, plan: Plan
) -> Symbols:
    if kind is SCALES:
        numbers: Symbols = plan.classes.scales[tensor.name].numbers()[:, None]
        return numbers
    if not record.masked:
        return tensor.symbols
    alive = alive_rows(tensor.symbols)
    return alive[:, None].view(np.uint8) if kind is MASKS else tensor.symbols[alive]


def _fixed(tensor: Exact, record: FixedRecord, plan: Plan, place: int) -> Symbols:
    exponent, multiples = to_fixed(np.ascontiguousarray(tensor.data)) or (None, None)
    if multiples is None or exponent != record.exponent:
        raise ContentError(f"{printable(tensor.name)} was changed while it was written")
    if record.back:
        followed = plan.records[place - record.back].name
        multiples = multiples[plan.classes.scales[followed].stored_rows]
    return multiples.reshape(-1, 1)


def _exact(tensor: Exact, record: ExactRecord) -> Symbols:
    stored_type, data = narrow(np.ascontiguousarray(tensor.data), tensor.dtype)
    if stored_type is not record.stored_type:
        name = printable(tensor.name)
        raise ContentError(f"{name} was changed while it was written")
    if record.turned:
        data = turn(data, stored_type)
    return data.reshape(-1, ITEM_BYTES[stored_type])
