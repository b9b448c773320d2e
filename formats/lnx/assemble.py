"""Decoded symbols -> tensors, each checked against what the header announced."""

import numpy as np
from numpy.typing import NDArray

from lnx.content import Alias, Exact, Latent, Tensor, elements
from lnx.errors import FormatError, located, printable
from lnx.narrow import widen
from lnx.records import ExactRecord, FillRecord, Header, LatentRecord
from lnx.sections import Symbols

SymbolLists = list[Symbols]


def assemble(
    header: Header,
    decoders: tuple[NDArray[np.float32], ...],
    masks: SymbolLists,
    latents: SymbolLists,
    exact: SymbolLists,
) -> tuple[Tensor, ...]:
    """Return the tensors of a file; raises FormatError where they do not fit."""
    mask, latent, plane = iter(masks), iter(latents), iter(exact)
    tensors: list[Tensor] = []
    for record in header.records:
        with located(f"tensor {printable(record.name)}"):
            if isinstance(record, LatentRecord):
                alive = next(mask) if record.mask_table else None
                rows = _scatter(record, alive, next(latent))
                _check_decoder(record, decoders)
                tensors.append(Latent(record.name, record.shape, rows, record.decoder))
            elif isinstance(record, ExactRecord):
                tensors.append(_exact(record, next(plane)))
            elif isinstance(record, FillRecord):
                tensors.append(_fill(record))
            else:
                tensors.append(Alias(record.name, header.records[record.target].name))
    return tuple(tensors)


def _scatter(
    record: LatentRecord,
    mask: Symbols | None,
    values: Symbols,
) -> NDArray[np.int32]:
    """Put the coded slices in their places between the zero ones; (N, L)."""
    if mask is not None:
        alive = mask[:, 0] != 0
        if np.count_nonzero(alive) != len(values):
            raise FormatError("the slice mask does not fit the number of slices")
        rows = np.zeros((record.slices, record.slice_length), np.int32)
        rows[alive] = values
        values = rows
    values = values.astype(np.int32, copy=False)
    if np.count_nonzero(values) != record.nonzero:
        raise FormatError("the number of non-zero weights is not as announced")
    if np.count_nonzero(~values.any(axis=1)) != record.zero_slices:
        raise FormatError("the number of zero slices is not as announced")
    return values


def _check_decoder(
    record: LatentRecord, decoders: tuple[NDArray[np.float32], ...]
) -> None:
    if record.decoder >= len(decoders):
        raise FormatError(f"there is no decoder {record.decoder}")
    size = decoders[record.decoder].shape[0]
    if size not in (1, record.slice_length):
        raise FormatError(f"decoder of size {size} for slices of {record.slice_length}")


def _exact(record: ExactRecord, planes: Symbols) -> Exact:
    held = planes.astype(np.uint8, copy=False).reshape(-1)
    data = widen(held, record.held, record.dtype)
    return Exact(record.name, record.dtype, record.shape, data)


def _fill(record: FillRecord) -> Exact:
    element = np.frombuffer(record.element, np.uint8)
    data = np.tile(element, elements(record.shape))
    return Exact(record.name, record.dtype, record.shape, data)
