"""Numbers of rows that are all zero, left out of the tensors that follow them.

A filter without weights has, in a trained network, a norm and a bias that are zero as
well. Scales say which rows these are.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lnx.dtypes import ITEM_BYTES, DType
from lnx.parts.records import FixedRecord
from lnx.tensors.classes import Scales
from lnx.tensors.container import Alias, Exact, Latent
from lnx.tensors.fixed_point import to_fixed
from lnx.write.drafts import Draft
from lnx.write.share_tables import histogram

Tensors = Sequence[Latent | Exact | Alias]


def count_followers(tensors: Tensors) -> dict[int, int]:
    """Return how many tensors may follow each latent one, by its place."""
    return dict(Counter(place for place in _followed(tensors) if place is not None))


def without_zero_rows(drafts: Sequence[Draft], tensors: Tensors) -> list[Draft]:
    """Return drafts in which fixed-point tensors leave out zero rows where they can."""
    found = list(drafts)
    for i, place in enumerate(_followed(tensors)):
        record, tensor = drafts[i].record, tensors[i]
        if place is None or not isinstance(record, FixedRecord):
            continue
        scales = drafts[place].scales
        if scales is not None and isinstance(tensor, Exact):
            found[i] = _following(drafts[i], record, tensor, i - place, scales)
    return found


def _followed(tensors: Tensors) -> list[int | None]:
    """Return the place of what each tensor may follow.

    Float32 vectors follow the latest latent tensor before them that has as many rows,
    where they are zero in each of its zero rows.
    """
    found: list[int | None] = []
    latest: dict[int, int] = {}  # place by the number of rows
    alive: dict[int, NDArray[np.bool_]] = {}  # which rows are, by place
    for i, tensor in enumerate(tensors):
        place = None
        if isinstance(tensor, Latent):
            if len(tensor.shape) > 1 and tensor.symbols.size:
                rows = tensor.symbols.reshape(tensor.shape[0], -1)
                latest[len(rows)], alive[i] = i, np.any(rows, axis=1)
        elif isinstance(tensor, Exact) and tensor.dtype is DType.F32:
            place = latest.get(len(tensor.data) // ITEM_BYTES[DType.F32])
        if place is not None and isinstance(tensor, Exact):
            left = np.ascontiguousarray(tensor.data).view("<u4")[~alive[place]]
            place = place if len(left) and not left.any() else None
        found.append(place)
    return found


def _following(
    draft: Draft, record: FixedRecord, tensor: Exact, back: int, scales: Scales
) -> Draft:
    fixed, stored = to_fixed(np.ascontiguousarray(tensor.data)), scales.stored_rows
    if fixed is None or len(stored) != len(fixed[1]):
        return draft
    zeros = int(np.count_nonzero(~stored))
    kept = replace(record, back=back, left_out=zeros)
    return Draft(kept, planes=(histogram(fixed[1][stored]),))
