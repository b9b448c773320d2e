"""Bytes -> tensors, one at a time: only what is asked for is read and decoded."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.coding import range_coder
from lnx.coding.parallel import Coder, ToDecode
from lnx.dtypes import Symbols, widen
from lnx.errors import CorruptError, FormatError, located, printable
from lnx.parts.chunks import Order, blank, order_of, scatter
from lnx.parts.records import (
    ExactRecord,
    FillRecord,
    Header,
    LatentRecord,
    TensorRecord,
)
from lnx.parts.sections import (
    EXACT,
    LATENTS,
    MASKS,
    SECTIONS,
    Layout,
    Piece,
    SectionKind,
    layouts_of,
)
from lnx.read.opening import Opened, StoredChunk, read_chunk, stored_chunks
from lnx.tensors.container import (
    Alias,
    Exact,
    Latent,
    Tensor,
    alive_rows,
    elements,
    legal_bools,
    zero_channels,
)
from lnx.tensors.reconstruct import AnyArray, Digests, rebuild


def read_tensors(
    opened: Opened, coder: Coder, wanted: Collection[str] | None = None
) -> Iterator[tuple[Tensor, AnyArray | None]]:
    """Yield tensors in order, each beside its rebuilt array; aliases have none.

    With wanted, those names only, and nothing else is decoded; without, the digests of
    all integers and of all rebuilt tensors are checked at the end. Raises FormatError.
    """
    records = opened.header.records
    chosen = [r for r in records if wanted is None or r.name in wanted]
    symbols = {
        kind: _read_matrices(opened, coder, kind, {r.name for r in chosen})
        for kind in SECTIONS
    }
    digests = Digests()
    hashed: Callable[[], None] = _nothing
    for record in chosen:
        with located(f"tensor {printable(record.name)}"):
            needed = {kind: next(symbols[kind]) for kind in _sections(record)}
            tensor = _assemble(
                record,
                records,
                opened.decoders,
                needed.get(MASKS),
                needed.get(LATENTS, needed.get(EXACT)),
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


def _nothing() -> None:
    """Stand for the hashing of a tensor before the first."""


def _sections(record: TensorRecord) -> list[SectionKind]:
    """Return the sections that hold a part of a tensor."""
    if isinstance(record, LatentRecord):
        return [MASKS, LATENTS] if record.masked else [LATENTS]
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
    opened: Opened, coder: Coder, kind: SectionKind, names: Collection[str]
) -> Iterator[Symbols]:
    """Yield the symbols of some tensors of a section, in order."""
    layouts = layouts_of(kind, opened.header.records)
    wanted = [i for i, layout in enumerate(layouts) if layout.name in names]
    chosen = set(wanted)
    stored = [
        chunk
        for chunk in stored_chunks(
            kind, opened.header, layouts, opened.starts[kind.name]
        )
        if any(part.matrix in chosen for part in chunk.parts)
    ]
    matrices: dict[int, Symbols] = {}
    filled = dict.fromkeys(wanted, 0)
    rest = iter(wanted)
    waiting = next(rest, None)
    found = _decode_chunks(opened, coder, kind, layouts, stored)
    while waiting is not None:
        while filled[waiting] < layouts[waiting].rows:
            order, raw, runs, parts = next(found)
            for part in parts:
                if part.matrix in chosen:
                    filled[part.matrix] += part.rows
                    if part.matrix not in matrices:
                        room = blank(layouts[part.matrix], kind, opened.tables)
                        matrices[part.matrix] = room
            scatter(order, raw, runs, matrices)
        done = matrices.pop(waiting, None)
        yield blank(layouts[waiting], kind, opened.tables) if done is None else done
        waiting = next(rest, None)


Held = tuple[Order, bytes, StoredChunk]
Decoded = tuple[Order, NDArray[np.uint8], list[Symbols], tuple[Piece, ...]]


def _decode_chunks(
    opened: Opened,
    coder: Coder,
    kind: SectionKind,
    layouts: Sequence[Layout],
    stored: Sequence[StoredChunk],
) -> Iterator[Decoded]:
    """Yield what each chunk holds, decoded in batches."""

    def read() -> Iterator[
        tuple[list[tuple[Order, bytes, StoredChunk]], list[ToDecode]]
    ]:
        for batch in _batches(stored, layouts):
            tags, messages = [], []
            for chunk in batch:
                data = read_chunk(opened.source, kind, layouts, chunk)
                order = order_of(layouts, chunk.parts, opened.tables)
                words = chunk.chunk.words * spec.WORD_BYTES
                tags.append((order, data[words:], chunk))
                messages.append((data[:words], order.lengths()))
            yield tags, messages

    for tags, found in coder.decode(read()):
        for (order, raw, chunk), runs in zip(tags, found, strict=True):
            yield order, np.frombuffer(raw, np.uint8), runs, chunk.parts


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


def _assemble(
    record: TensorRecord,
    records: Sequence[TensorRecord],
    decoders: tuple[NDArray[np.float32], ...],
    mask: Symbols | None,
    cells: Symbols | None,
) -> Tensor:
    """Return the tensor of a record from its decoded mask and symbols.

    Raises FormatError where they do not fit.
    """
    if isinstance(record, LatentRecord):
        _check_decoder(record, decoders)
        rows = _between_zeros(record, mask, cells)
        return Latent(record.name, record.shape, rows, record.decoder)
    if isinstance(record, ExactRecord):
        return _exact(record, cells)
    if isinstance(record, FillRecord):
        return _fill(record)
    return Alias(record.name, records[record.target].name)


def _between_zeros(
    record: LatentRecord, mask: Symbols | None, cells: Symbols | None
) -> Symbols:
    """Put the coded slices in their places between the zero ones; (N, L)."""
    if cells is None or cells.dtype == np.uint8:
        raise FormatError("latents are missing")
    values = cells
    nonzero = int(np.count_nonzero(values))
    alive = alive_rows(values)
    zero_slices = record.slices - int(np.count_nonzero(alive))
    if mask is not None:
        alive = mask[:, 0] != 0
        if np.count_nonzero(alive) != len(values):
            raise FormatError("the slice mask does not fit the number of slices")
        rows = np.zeros((record.slices, record.slice_length), values.dtype)
        rows[alive] = values
        values = rows
    if nonzero != record.nonzero:
        raise FormatError("the number of non-zero weights is not as announced")
    if zero_slices != record.zero_slices:
        raise FormatError("the number of zero slices is not as announced")
    zeros = zero_channels(alive, record.shape, record.slice_length)
    if zeros != (record.zero_rows, record.zero_columns):
        raise FormatError("the number of zero rows and columns is not as announced")
    return values


def _check_decoder(
    record: LatentRecord, decoders: tuple[NDArray[np.float32], ...]
) -> None:
    if record.decoder >= len(decoders):
        raise FormatError(f"there is no decoder {record.decoder}")
    size = decoders[record.decoder].shape[0]
    if size not in (1, record.slice_length):
        raise FormatError(f"decoder of size {size} for slices of {record.slice_length}")


def _exact(record: ExactRecord, cells: Symbols | None) -> Exact:
    if cells is None:
        raise FormatError("bytes are missing")
    held = cells.astype(np.uint8, copy=False).reshape(-1)
    data = widen(held, record.held, record.dtype)
    return _checked(Exact(record.name, record.dtype, record.shape, data))


def _fill(record: FillRecord) -> Exact:
    element = np.frombuffer(record.element, np.uint8)
    data = np.tile(element, elements(record.shape))
    return _checked(Exact(record.name, record.dtype, record.shape, data))


def _checked(tensor: Exact) -> Exact:
    if not legal_bools(tensor.dtype, tensor.data):
        raise FormatError("a bool is neither 0 nor 1")
    return tensor
