"""What is in a file, from its header alone: nothing is decoded, nothing else read."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lnx import spec
from lnx.binary.atomic import PathLike
from lnx.parts.bounds import decoded_bytes
from lnx.parts.prefix import Frame, Sizes, frame_of
from lnx.parts.records import (
    AliasRecord,
    ExactRecord,
    FillRecord,
    FixedRecord,
    LatentRecord,
    TensorRecord,
)
from lnx.tensors.container import Metadata, Record, elements


@dataclass(frozen=True)
class TensorSummary:
    """One tensor of a file.

    Attributes:
        name: key in the state dict.
        shape: its shape.
        dtype: name of its element type, such as F32.
        kind: latent, exact, fill or alias.
        bytes: its share of the file's payload or side information.
        zero_fraction: share of weights whose latent is zero; None unless latent.
        slices: number of slices, those of length 1 left out.
        zero_slices: how many of these are zero.
        row_sparsity: share of indices of dimension 0 that are zero; None where slices
            do not lie within the first two dimensions.
        column_sparsity: the same of dimension 1.
        coding: of latents, trellis or steps, and whether tables belong to scale classes
            or to the places of a slice; None unless latent.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: str
    bytes: int
    zero_fraction: float | None = None
    slices: int = 0
    zero_slices: int = 0
    row_sparsity: float | None = None
    column_sparsity: float | None = None
    coding: str | None = None

    @property
    def elements(self) -> int:
        """Number of elements."""
        return elements(self.shape)

    @property
    def slice_sparsity(self) -> float | None:
        """Share of slices that are zero; None for slices of length 1."""
        return self.zero_slices / self.slices if self.slices else None

    @property
    def bits_per_weight(self) -> float | None:
        """Bits of the file that each element takes; None for an empty tensor."""
        return 8 * self.bytes / self.elements if self.elements else None


@dataclass(frozen=True)
class Summary:
    """One file.

    Attributes:
        version: format version, such as 2.0.
        sizes: bytes of each part.
        tensors: in state-dict order.
        decoded_bytes: size of all tensors when decoded, tied ones counted once.
        architecture, training, metadata: plain records, as in a `Container`.
    """

    version: str
    sizes: Sizes
    tensors: tuple[TensorSummary, ...]
    decoded_bytes: int
    architecture: Record | None
    training: Record | None
    metadata: Metadata | None

    @property
    def parameters(self) -> int:
        """Number of elements of floating-point tensors, tied ones counted once."""
        return sum(
            tensor.elements
            for tensor in self.tensors
            if tensor.kind != "alias" and tensor.dtype.startswith(("F", "BF", "C"))
        )


def is_lnx(path: PathLike) -> bool:
    """Return whether a file starts as a .lnx file does, or is named so; raises OSError.

    The signature may be damaged: `load` then says what happened.
    """
    start = spec.MAGIC[:4]
    with Path(path).open("rb") as file:
        return file.read(len(start)) == start or Path(path).suffix == ".lnx"


def summary(path: PathLike) -> Summary:
    """Describe a file from its prefix and header; raises FormatError and OSError.

    The hash of prefix and header is checked, those of the other parts are not:
    `lnx.load` does that.
    """
    return _summarize(frame_of(path))


def _summarize(frame: Frame) -> Summary:
    header = frame.header
    records = header.records
    rates = _rates(records, frame.sizes)
    return Summary(
        version=".".join(str(number) for number in frame.version),
        sizes=frame.sizes,
        tensors=tuple(_describe(record, records, rates) for record in records),
        decoded_bytes=decoded_bytes(records),
        architecture=header.architecture,
        training=header.training,
        metadata=header.metadata,
    )


class _Rates(NamedTuple):
    """Bytes that a part of a tensor takes: of latents, times shares those not zero.

    Of exact tensors, a byte; in fixed point, an element that is stored.
    """

    latent: float
    exact: float
    fixed: float


def _rates(records: tuple[TensorRecord, ...], sizes: Sizes) -> _Rates:
    latents = [r for r in records if isinstance(r, LatentRecord)]
    latent = sum(record.nonzero * record.share for record in latents)
    exact = sum(_stored_bytes(r) for r in records if isinstance(r, ExactRecord))
    fixed = sum(r.stored for r in records if isinstance(r, FixedRecord))
    return _Rates(
        sizes.payload / max(latent, 1),
        sizes.exact / max(exact, 1),
        sizes.fixed / max(fixed, 1),
    )


def _stored_bytes(record: ExactRecord) -> int:
    return elements(record.shape) * len(record.tables)


def _describe(
    record: TensorRecord, records: tuple[TensorRecord, ...], rates: _Rates
) -> TensorSummary:
    kind = record.kind.name.lower()
    if isinstance(record, AliasRecord):
        target = records[record.target]
        if isinstance(target, AliasRecord):
            raise ValueError("an alias of an alias passed the reader")
        shape, dtype = target.shape, target.dtype.name
        return TensorSummary(record.name, shape, dtype, kind, 0)
    dtype, size = record.dtype.name, 0
    if isinstance(record, FillRecord):
        return TensorSummary(record.name, record.shape, dtype, kind, size)
    if isinstance(record, FixedRecord):
        size = round(rates.fixed * record.stored)
        return TensorSummary(record.name, record.shape, dtype, "exact", size)
    if isinstance(record, ExactRecord):
        size = round(rates.exact * _stored_bytes(record))
        return TensorSummary(record.name, record.shape, dtype, kind, size)
    return _describe_latent(record, rates.latent)


def _describe_latent(record: LatentRecord, rate: float) -> TensorSummary:
    count = elements(record.shape)
    whole = record.slice_length > 1
    rows, columns = record.channels
    return TensorSummary(
        name=record.name,
        shape=record.shape,
        dtype=record.dtype.name,
        kind=record.kind.name.lower(),
        bytes=round(rate * record.nonzero * record.share),
        zero_fraction=1 - record.nonzero / count if count else None,
        slices=record.slices if whole else 0,
        zero_slices=record.zero_slices if whole else 0,
        row_sparsity=record.zero_rows / rows if rows else None,
        column_sparsity=record.zero_columns / columns if columns else None,
        coding=f"{'trellis' if record.trellis else 'steps'},"
        f" {'classes' if record.scale_table else 'places'}",
    )
