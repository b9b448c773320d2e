"""What a writer decides for each tensor alone: kind, stored type, mask, scales.

The cheapest way to code a latent tensor is taken: planes, planes of the slices that a
mask leaves, or cells by scale class. Only counts of symbols are kept: the symbols are
taken from the tensors again when they are coded.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from lnx import spec
from lnx.coding.tables import PRICE_BITS, Table
from lnx.dtypes import (
    ITEM_BYTES,
    TURNED,
    Bytes,
    DType,
    Symbols,
    narrow,
    repeated,
    turn,
)
from lnx.errors import ContentError
from lnx.parts.records import (
    AliasRecord,
    ExactRecord,
    FillRecord,
    FixedRecord,
    LatentRecord,
    TensorRecord,
)
from lnx.tensors.classes import Scales
from lnx.tensors.container import Alias, Exact, Latent
from lnx.tensors.fixed_point import to_fixed
from lnx.tensors.slices import alive_rows, zero_channels
from lnx.write.cheap_scales import cheap_scales
from lnx.write.make_table import quantize_counts
from lnx.write.share_tables import Histogram, histogram, merge

MOST_COUNTED = 1 << 15  # values of symbols, counted class by class at once
LEAST_SPREAD = 3  # half octaves between classes; for fewer, one table does as well
MOST_FIXED = 512  # different fixed-point numbers; for more, bytes of floats do better
LEAST_CLASSED = 64  # cells; for fewer, scales never pay
SCALE_PRICE = (1 << PRICE_BITS) // 64  # what a scale has to save for its decoding


@dataclass(frozen=True, eq=False)
class Draft:
    """One tensor before tables are known: how often each symbol appears.

    Attributes:
        mask: slices without and with a non-zero latent, or None without a mask.
        planes: one for each column, or of the scales; empty for a tensor without rows.
        scales: what picks the class of a cell, or None where planes have tables.
        classes: with scales, how often each symbol appears in each class.
        saves: about how much shorter the scales make the tensors that follow this one,
            in 2**-16 bits.
    """

    record: TensorRecord
    mask: Histogram | None = None
    planes: tuple[Histogram, ...] = ()
    scales: Scales | None = None
    classes: dict[int, Histogram] = field(default_factory=dict)
    saves: int = 0


def draft_of(
    tensor: Latent | Exact | Alias, index: dict[str, int], followers: int = 0
) -> Draft:
    """Decide how one tensor is written, given the place of each name.

    Of a latent tensor with scales, `followers` may leave out numbers of zero rows.
    """
    if isinstance(tensor, Alias):
        return Draft(AliasRecord(tensor.name, index[tensor.target]))
    if isinstance(tensor, Latent):
        return _draft_latent(tensor, followers)
    data = np.ascontiguousarray(tensor.data)
    element = repeated(data, tensor.dtype)
    if element is not None:
        return Draft(FillRecord(tensor.name, tensor.shape, tensor.dtype, element))
    fixed = _draft_fixed(tensor, data) if tensor.dtype is DType.F32 else None
    if fixed is not None:
        return fixed
    stored_type, short = narrow(data, tensor.dtype)
    planes, turned = _byte_planes(short, stored_type), False
    if planes and stored_type in TURNED:
        other = _byte_planes(turn(short, stored_type), stored_type)
        if _bytes_price(other) < _bytes_price(planes):
            planes, turned = other, True
    blank = (spec.RAW_TABLE,) * ITEM_BYTES[stored_type]
    exact = ExactRecord(
        tensor.name, tensor.shape, tensor.dtype, stored_type, turned, blank
    )
    return Draft(exact, planes=planes)


def _draft_fixed(tensor: Exact, data: Bytes) -> Draft | None:
    """Take fixed point where it loses nothing and a table can hold the symbols."""
    fixed = to_fixed(data) if len(data) else None
    if fixed is None:
        return None
    exponent, multiples = fixed
    plane = histogram(multiples)
    if len(plane.values) > MOST_FIXED:
        return None
    record = FixedRecord(tensor.name, tensor.shape, exponent, 1)
    return Draft(record, planes=(plane,))


def _byte_planes(data: Bytes, dtype: DType) -> tuple[Histogram, ...]:
    """Count each byte of elements, lowest first; none where there are no elements."""
    planes = data.reshape(-1, ITEM_BYTES[dtype]).T if len(data) else ()
    return tuple(map(histogram, planes))


def _bytes_price(planes: tuple[Histogram, ...]) -> int:
    """Return the cost of planes of bytes, each raw if that is cheaper."""
    return sum(
        min(_described(plane), int(plane.counts.sum()) * 8 << PRICE_BITS)
        for plane in planes
    )


def _draft_latent(tensor: Latent, followers: int) -> Draft:
    symbols = tensor.symbols
    length = symbols.shape[1]
    planes = tuple(histogram(plane) for plane in symbols.T) if len(symbols) else ()
    alive = alive_rows(symbols)
    used = int(np.count_nonzero(alive))
    rows, columns = zero_channels(alive, tensor.shape, length)
    record = LatentRecord(
        name=tensor.name,
        shape=tensor.shape,
        slice_length=length,
        decoder=tensor.decoder,
        trellis=tensor.trellis,
        dtype=tensor.dtype,
        mask_table=0,
        scale_table=0,
        tables=(1,) * length,
        nonzero=int(np.count_nonzero(symbols)),
        zero_slices=len(symbols) - used,
        zero_rows=rows,
        zero_columns=columns,
        share=0,
    )
    ways = [Draft(record, planes=planes)]
    if length > 1 and used < len(symbols):
        ways.append(_masked(record, planes, histogram(alive.view(np.uint8)), used))
    if symbols.size >= LEAST_CLASSED:
        scales = cheap_scales(symbols, record.grid)
        if scales.spread >= LEAST_SPREAD:
            ways.append(_classed(record, symbols, scales, followers))
    return min(ways, key=_price)


def _masked(
    record: LatentRecord, planes: tuple[Histogram, ...], mask: Histogram, used: int
) -> Draft:
    left = tuple(_without(plane, record.slices - used) for plane in planes)
    return Draft(replace(record, mask_table=1), mask, left if used else ())


def _classed(
    record: LatentRecord, symbols: Symbols, scales: Scales, followers: int
) -> Draft:
    classes = scales.classes(0, len(symbols)).reshape(-1)
    record = replace(record, scale_table=1, tables=())
    numbers = scales.numbers()
    zeros = histogram(scales.stored_rows.view(np.uint8))
    return Draft(
        record,
        planes=(histogram(numbers),),
        scales=scales,
        classes=_by_class(symbols, classes),
        saves=followers * _entropy(zeros),
    )


def _by_class(symbols: Symbols, classes: Symbols) -> dict[int, Histogram]:
    """Count the symbols of each class."""
    flat = symbols.reshape(-1)
    low, high = int(flat.min()), int(flat.max())
    span = high - low + 1
    if span > MOST_COUNTED:
        return {int(c): histogram(flat[classes == c]) for c in np.unique(classes)}
    places = classes.astype(np.int32) * np.int32(span)
    places += flat
    counts = np.bincount(places - np.int32(low), minlength=spec.CLASSES * span)
    found = {}
    for number, row in enumerate(counts.reshape(spec.CLASSES, span)):
        values = np.flatnonzero(row)
        if len(values):
            found[number] = Histogram(values + low, row[values].astype(np.int64))
    return found


def _price(way: Draft) -> int:
    """Return the cost of a way to code a tensor, its tables guessed, in 2**-16 bits."""
    rest = [*way.classes.values(), *([way.mask] if way.mask else [])]
    scales = 0 if way.scales is None else len(way.scales.numbers()) * SCALE_PRICE
    return _cheapest(way.planes) + sum(map(_described, rest)) + scales - way.saves


def _cheapest(planes: tuple[Histogram, ...]) -> int:
    """Return the cost of planes, with a table each or with one for all."""
    apart = sum(_described(plane) for plane in planes)
    return min(apart, _described(merge(planes))) if len(planes) > 1 else apart


def _described(plane: Histogram) -> int:
    """Return the cost of symbols and of the table that they are coded with."""
    return _entropy(plane) + _table_share(plane)


def _table_share(plane: Histogram) -> int:
    """Return what describing a plane's shares costs: half log2 n for each of them."""
    count = int(plane.counts.sum())
    return max(0, len(plane.counts) - 1) * (count.bit_length() << PRICE_BITS) // 2


def _without(plane: Histogram, zeros: int) -> Histogram:
    """Return a plane less some of its zeros."""
    counts = plane.counts - zeros * (plane.values == 0)
    return Histogram(plane.values[counts > 0], counts[counts > 0])


def _entropy(plane: Histogram) -> int:
    """Return the cost of a plane under a table of its own, in 2**-16 bits."""
    if not len(plane.counts):
        return 0
    if len(plane.counts) > spec.MAX_SYMBOLS:
        raise ContentError(f"{len(plane.counts)} different latents are too many")
    bits = spec.MAX_TABLE_BITS
    table = Table(plane.values, quantize_counts(plane.counts, bits), bits)
    return int((plane.counts * table.prices).sum())
