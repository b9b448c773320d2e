"""Bounds on the memory and the time that a file may ask of its reader."""

from collections.abc import Collection, Iterable, Sequence

from lnx import spec
from lnx.dtypes import ITEM_BYTES
from lnx.errors import LimitError
from lnx.parts.records import AliasRecord, LatentRecord, TensorRecord
from lnx.tensors.container import elements


def decoded_bytes(
    records: Sequence[TensorRecord],
    names: Collection[str] | None = None,
    *,
    copies: bool = False,
) -> int:
    """Return the size of decoded tensors, of all or of those of some names.

    An alias takes nothing, or with copies as much as its target.
    """
    total = 0
    for record in records:
        if names is None or record.name in names:
            source = record
            if copies and isinstance(record, AliasRecord):
                source = records[record.target]
            if not isinstance(source, AliasRecord):
                total += elements(source.shape) * ITEM_BYTES[source.dtype]
    return total


def check_budget(size: int, max_size: int) -> None:
    """Raise LimitError for tensors that take more than max_size bytes."""
    if size > max_size:
        raise LimitError(
            f"decoded size is {size} bytes, the limit is {max_size}: raise it"
            " (--max-size, max_size=) only for a file you trust"
        )


def excess_work(records: Iterable[TensorRecord], file_bytes: int) -> str | None:
    """Say what is wrong where decoders have more to do than is allowed.

    A non-zero latent takes L products and sums. It also takes bits, unless its table
    makes it nearly free: with long slices of those a few bytes could ask for hours.
    """
    latent = [r for r in records if isinstance(r, LatentRecord)]
    work = sum(record.nonzero * record.slice_length for record in latent)
    weights = sum(elements(record.shape) for record in latent)
    most = spec.WORK_OF_WEIGHT * weights + spec.WORK_OF_BYTE * file_bytes
    if work <= most:
        return None
    return (
        f"non-zero latents times slice lengths are {work} together, at most {most} are"
        f" allowed for {weights} weights in {file_bytes} bytes"
    )
