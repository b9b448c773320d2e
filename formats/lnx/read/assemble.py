"""Decoded symbols -> tensors: what does not fit the header is refused."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lnx.dtypes import Symbols, turn_back, widen
from lnx.errors import FormatError
from lnx.parts.records import (
    ExactRecord,
    FillRecord,
    FixedRecord,
    LatentRecord,
    TensorRecord,
)
from lnx.tensors.check import legal_bools
from lnx.tensors.container import Alias, Exact, Latent, Tensor, elements
from lnx.tensors.fixed_point import from_fixed
from lnx.tensors.slices import alive_rows, zero_channels
from lnx.tensors.trellis import legal_indices


def assemble(
    record: TensorRecord,
    records: Sequence[TensorRecord],
    decoders: tuple[NDArray[np.float32], ...],
    mask: Symbols | None,
    cells: Symbols | None,
    stored: NDArray[np.bool_] | None = None,
) -> Tensor:
    """Return the tensor of a record from its decoded mask and symbols.

    `stored` says which elements a fixed-point tensor stores, (n,), where it leaves some
    out. Raises FormatError where they do not fit.
    """
    if isinstance(record, LatentRecord):
        _check_decoder(record, decoders)
        rows = _between_zeros(record, mask, cells)
        if record.trellis and not legal_indices(rows):
            raise FormatError("an index of the trellis is out of bounds")
        return Latent(
            record.name,
            record.shape,
            rows,
            record.decoder,
            trellis=record.trellis,
            dtype=record.dtype,
        )
    if isinstance(record, ExactRecord):
        return _exact(record, cells)
    if isinstance(record, FixedRecord):
        return _fixed(record, cells, stored)
    if isinstance(record, FillRecord):
        return _fill(record)
    return Alias(record.name, records[record.target].name)


def _check_decoder(
    record: LatentRecord, decoders: tuple[NDArray[np.float32], ...]
) -> None:
    if record.decoder >= len(decoders):
        raise FormatError(f"there is no decoder {record.decoder}")
    size = decoders[record.decoder].shape[1]
    if size not in (1, record.slice_length):
        raise FormatError(f"decoder of size {size} for slices of {record.slice_length}")


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


def _exact(record: ExactRecord, cells: Symbols | None) -> Exact:
    if cells is None:
        raise FormatError("bytes are missing")
    stored = cells.astype(np.uint8, copy=False).reshape(-1)
    if record.turned:
        stored = turn_back(stored, record.stored_type)
    data = widen(stored, record.stored_type, record.dtype)
    if not legal_bools(record.dtype, data):
        raise FormatError("a bool is neither 0 nor 1")
    return Exact(record.name, record.dtype, record.shape, data)


def _fixed(
    record: FixedRecord, cells: Symbols | None, stored: NDArray[np.bool_] | None
) -> Exact:
    if cells is None:
        raise FormatError("numbers are missing")
    numbers = cells.reshape(-1)
    if stored is not None:
        if np.count_nonzero(stored) != len(numbers):
            raise FormatError("the scales of zero rows are not as announced")
        numbers = np.zeros(len(stored), numbers.dtype)
        numbers[stored] = cells.reshape(-1)
    data = from_fixed(record.exponent, numbers)
    return Exact(record.name, record.dtype, record.shape, data)


def _fill(record: FillRecord) -> Exact:
    element = np.frombuffer(record.element, np.uint8)
    data = np.tile(element, elements(record.shape))
    return Exact(record.name, record.dtype, record.shape, data)
