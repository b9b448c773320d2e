"""What the header says of tensors of one kind: column by column, checked as read.

Each `read_` function mirrors its `write_` function: same order, same names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from lnx import spec
from lnx.binary.wire import Reader, Writer, unzigzag, zigzag
from lnx.dtypes import ITEM_BYTES, ROUNDED_TO, TURNED, DType, can_widen
from lnx.errors import FormatError, located, printable
from lnx.parts.records import (
    AliasRecord,
    ExactRecord,
    FillRecord,
    FixedRecord,
    LatentRecord,
    TensorRecord,
)
from lnx.spec import Kind, Packing
from lnx.tensors.container import elements

EnumT = TypeVar("EnumT", Kind, DType, Packing)
Slot = tuple[str, tuple[int, ...]]  # name and shape of a tensor

COUNTS = ("nonzero", "zero_slices", "zero_rows", "zero_columns")


def write_latents(writer: Writer, records: Sequence[LatentRecord]) -> None:
    """Append slice lengths, decoders, tables, and what is counted."""
    for column in ("slice_length", "decoder", "mask_table", "scale_table"):
        writer.varints([getattr(record, column) for record in records])
    writer.raw(bytes(record.trellis for record in records))
    writer.raw(bytes(record.dtype for record in records))
    for record in records:
        writer.varints(list(record.tables))
    for column in COUNTS:
        writer.varints([getattr(record, column) for record in records])
    writer.raw(bytes(record.share for record in records))


def read_latents(reader: Reader, slots: Sequence[Slot]) -> list[LatentRecord]:
    """Read the latent tensors of these names and shapes; raises FormatError."""
    count = len(slots)
    lengths = reader.varints("slice length", count, spec.MAX_SLICE, least=1)
    decoders = reader.varints("decoder", count, spec.MAX_DECODERS)
    masks = reader.varints("mask table", count, spec.MAX_TABLES)
    scales = reader.varints("scale table", count, spec.MAX_TABLES)
    trellises = [_flag("trellis", byte) for byte in reader.raw("trellis", count)]
    dtypes = [enum_of(DType, "dtype", byte) for byte in reader.raw("dtypes", count)]
    planes = [0 if scales[i] else length for i, length in enumerate(lengths)]
    if sum(planes) > spec.MAX_PLANES:
        raise FormatError(f"{sum(planes)} planes, at most {spec.MAX_PLANES}")
    ids = reader.varints("table id", sum(planes), spec.MAX_TABLES, least=1)
    tables = split(ids, planes)
    counts = [reader.varints(name, count, spec.MAX_ELEMENTS) for name in COUNTS]
    shares = reader.raw("share", count)
    records = []
    for i, (name, shape) in enumerate(slots):
        record = LatentRecord(
            name, shape, lengths[i], decoders[i], trellises[i], dtypes[i], masks[i],
            scales[i], tables[i],
            *(column[i] for column in [*counts, shares]),
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
    if record.dtype not in ROUNDED_TO:
        raise FormatError(f"latents of type {record.dtype.name}")
    if record.masked and record.classed:
        raise FormatError("both a mask and scales")
    if record.classed and not count:
        raise FormatError("scales of a tensor without elements")
    if record.mask_table and record.slice_length == 1:
        raise FormatError("a mask over slices of length 1")


def _flag(name: str, byte: int) -> bool:
    if byte > 1:
        raise FormatError(f"{name} {byte} is neither 0 nor 1")
    return bool(byte)


def write_exacts(writer: Writer, records: Sequence[ExactRecord]) -> None:
    """Append types, stored types and tables."""
    writer.raw(bytes(record.dtype for record in records))
    writer.raw(bytes(r.stored_type | spec.TURNED * r.turned for r in records))
    for record in records:
        writer.varints(list(record.tables))


def read_exacts(reader: Reader, slots: Sequence[Slot]) -> list[ExactRecord]:
    """Read the exact tensors of these names and shapes; raises FormatError."""
    own = [enum_of(DType, "dtype", b) for b in reader.raw("dtypes", len(slots))]
    codes = reader.raw("types", len(slots))
    turned = [bool(code & spec.TURNED) for code in codes]
    stored = [enum_of(DType, "stored type", code & ~spec.TURNED) for code in codes]
    sizes = [ITEM_BYTES[stored_type] for stored_type in stored]
    tables = split(reader.varints("table id", sum(sizes), spec.MAX_TABLES), sizes)
    records = []
    for i, (name, shape) in enumerate(slots):
        record = ExactRecord(name, shape, own[i], stored[i], turned[i], tables[i])
        with located(f"tensor {printable(name)}"):
            _check_exact(record)
        records.append(record)
    return records


def _check_exact(record: ExactRecord) -> None:
    legal = can_widen(record.stored_type, record.dtype)
    if not legal or (record.turned and record.stored_type not in TURNED):
        turned = ", turned" if record.turned else ""
        raise FormatError(
            f"{record.dtype.name} stored as {record.stored_type.name}{turned}"
        )


def write_fixed(
    writer: Writer, records: Sequence[FixedRecord], leaves_out: bool
) -> None:
    """Append exponents, tables, and what they follow where some leave out rows."""
    writer.varints([zigzag(record.exponent) for record in records])
    writer.varints([record.table for record in records])
    if leaves_out:
        writer.varints([zigzag(record.back) for record in records])


def read_fixed(
    reader: Reader, slots: Sequence[Slot], leaves_out: bool
) -> list[FixedRecord]:
    """Read the fixed-point tensors of these names and shapes; raises FormatError.

    What is left out of those that follow others, `with_left_out` tells.
    """
    most = zigzag(spec.MAX_EXPONENT)
    exponents = reader.varints("exponent", len(slots), most)
    tables = reader.varints("table id", len(slots), spec.MAX_TABLES, least=1)
    backs = [0] * len(slots)
    if leaves_out:
        most = 2 * spec.MAX_TENSORS
        backs = [unzigzag(x) for x in reader.varints("distance", len(slots), most)]
    return [
        FixedRecord(name, shape, unzigzag(exponents[i]), tables[i], backs[i])
        for i, (name, shape) in enumerate(slots)
    ]


def with_left_out(records: Sequence[TensorRecord]) -> tuple[TensorRecord, ...]:
    """Tell fixed-point tensors that follow others how many elements are left out.

    Raises FormatError for one that follows nothing that it can.
    """
    found = list(records)
    for i, record in enumerate(records):
        if isinstance(record, FixedRecord) and record.back:
            place, size = i - record.back, elements(record.shape)
            other = records[place] if 0 <= place < len(records) else record
            if not isinstance(other, LatentRecord) or not other.classed:
                raise FormatError(
                    f"tensor {printable(record.name)} follows what has no scales"
                )
            if not size or other.channels[0] != size:
                raise FormatError(
                    f"tensor {printable(record.name)} of {size} elements follows"
                    f" {other.channels[0]} rows"
                )
            found[i] = replace(record, left_out=other.zero_rows)
    return tuple(found)


def write_fills(writer: Writer, records: Sequence[FillRecord]) -> None:
    """Append type and element of each."""
    for record in records:
        writer.raw(bytes([record.dtype]) + record.element)


def read_fills(reader: Reader, slots: Sequence[Slot]) -> list[FillRecord]:
    """Read the fill tensors of these names and shapes; raises FormatError."""
    records = []
    for name, shape in slots:
        dtype = enum_of(DType, "dtype", reader.raw("dtype", 1)[0])
        element = reader.raw("fill element", ITEM_BYTES[dtype])
        if dtype is DType.BOOL and element[0] > 1:
            raise FormatError(f"tensor {printable(name)}: a bool is neither 0 nor 1")
        records.append(FillRecord(name, shape, dtype, element))
    return records


def write_aliases(writer: Writer, records: Sequence[AliasRecord]) -> None:
    """Append the index of each target among all tensors."""
    writer.varints([record.target for record in records])


def read_aliases(
    reader: Reader, names: Sequence[str], kinds: Sequence[Kind]
) -> list[AliasRecord]:
    """Read the aliases among tensors of these names and kinds; raises FormatError."""
    records = []
    for i, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        if kind is Kind.ALIAS:
            target = reader.varint("alias target", spec.MAX_TENSORS)
            if target >= i or kinds[target] is Kind.ALIAS:
                raise FormatError(
                    f"alias {printable(name)} points to entry {target},"
                    " which is not an earlier tensor"
                )
            records.append(AliasRecord(name, target))
    return records


def split(values: Sequence[int], lengths: Iterable[int]) -> list[tuple[int, ...]]:
    """Cut values into parts of these lengths, one after the other."""
    at, parts = 0, []
    for length in lengths:
        parts.append(tuple(values[at : at + length]))
        at += length
    return parts


def enum_of(enum: type[EnumT], name: str, code: int) -> EnumT:
    """Return the member of a code; raises FormatError, name in its message."""
    try:
        return enum(code)
    except ValueError:
        raise FormatError(f"{name} {code} is unknown") from None
