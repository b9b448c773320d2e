"""What a writer decides for each tensor alone: kind, stored type, mask.

Only counts of symbols are kept: the symbols are taken from the tensors again when they
are coded.
"""

from dataclasses import dataclass

import numpy as np

from lnx import spec
from lnx.coding.tables import Table
from lnx.dtypes import ITEM_BYTES, narrow, repeated
from lnx.errors import ContentError
from lnx.parts.records import (
    AliasRecord,
    ExactRecord,
    FillRecord,
    LatentRecord,
    TensorRecord,
)
from lnx.tensors.container import Alias, Exact, Latent
from lnx.tensors.slices import alive_rows, zero_channels
from lnx.write.fit_tables import Histogram, histogram, quantize_counts


@dataclass(frozen=True, eq=False)
class Draft:
    """One tensor before tables are known: how often each symbol appears.

    Attributes:
        mask: slices without and with a non-zero latent, or None without a mask.
        planes: one for each column; empty for a tensor without rows.
    """

    record: TensorRecord
    mask: Histogram | None = None
    planes: tuple[Histogram, ...] = ()


def draft_of(tensor: Latent | Exact | Alias, index: dict[str, int]) -> Draft:
    """Decide how one tensor is written, given the place of each name."""
    if isinstance(tensor, Alias):
        return Draft(AliasRecord(tensor.name, index[tensor.target]))
    if isinstance(tensor, Latent):
        return _draft_latent(tensor)
    data = np.ascontiguousarray(tensor.data)
    element = repeated(data, tensor.dtype)
    if element is not None:
        return Draft(FillRecord(tensor.name, tensor.shape, tensor.dtype, element))
    stored_type, short = narrow(data, tensor.dtype)
    blank = (spec.RAW_TABLE,) * ITEM_BYTES[stored_type]
    record = ExactRecord(tensor.name, tensor.shape, tensor.dtype, stored_type, blank)
    planes = short.reshape(-1, ITEM_BYTES[stored_type]).T if len(short) else ()
    return Draft(record, planes=tuple(map(histogram, planes)))


def _draft_latent(tensor: Latent) -> Draft:
    symbols = tensor.symbols
    planes = tuple(histogram(plane) for plane in symbols.T) if len(symbols) else ()
    alive = alive_rows(symbols)
    used = int(np.count_nonzero(alive))
    mask, masked = None, False
    if symbols.shape[1] > 1 and used < len(symbols):
        mask = histogram(alive.view(np.uint8))
        left = tuple(_without(plane, len(symbols) - used) for plane in planes)
        coded = [_entropy(plane) for plane in (mask, *left)]
        masked = sum(coded) < sum(_entropy(plane) for plane in planes)
    rows, columns = zero_channels(alive, tensor.shape, symbols.shape[1])
    record = LatentRecord(
        name=tensor.name,
        shape=tensor.shape,
        slice_length=symbols.shape[1],
        decoder=tensor.decoder,
        mask_table=int(masked),
        tables=(1,) * symbols.shape[1],
        nonzero=int(np.count_nonzero(symbols)),
        zero_slices=len(symbols) - used,
        zero_rows=rows,
        zero_columns=columns,
        coded_bytes=0,
    )
    if mask is None or not masked:
        return Draft(record, None, planes)
    return Draft(record, mask, left if used else ())


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
