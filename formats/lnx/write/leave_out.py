"""Numbers of rows that are all zero, left out of the tensors that follow them.

A filter without weights has, in a trained network, a norm and a bias that are zero as
well. Scales say which rows these are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import nsmallest

import numpy as np

from lnx.dtypes import DType
from lnx.parts.records import FixedRecord
from lnx.tensors.container import Alias, Exact, Latent, elements
from lnx.tensors.fixed_point import to_fixed
from lnx.write.drafts import Draft
from lnx.write.share_tables import histogram

Tensors = Sequence[Latent | Exact | Alias]
NEAREST = 4  # latent tensors of as many rows that are looked at


def followed(tensors: Tensors) -> dict[int, int]:
    """Return the place of the tensor that a vector may follow, by its own place.

    Float32 vectors follow the nearest latent tensor that has as many rows, some of them
    zero, and for which they have zeros there.
    """
    alive = {
        i: np.any(tensor.symbols.reshape(tensor.shape[0], -1), axis=1)
        for i, tensor in enumerate(tensors)
        if isinstance(tensor, Latent) and _has_rows(tensor)
    }
    by_rows: dict[int, list[int]] = {}
    for i, rows in alive.items():
        if not rows.all():
            by_rows.setdefault(len(rows), []).append(i)
    found = {}
    for i, tensor in enumerate(tensors):
        if isinstance(tensor, Exact) and tensor.dtype is DType.F32:
            numbers = np.ascontiguousarray(tensor.data).view("<u4")
            places = by_rows.get(len(numbers), [])
            for place in nsmallest(NEAREST, places, key=lambda x: abs(i - x)):
                if not numbers[~alive[place]].any():
                    found[i] = place
                    break
    return found


def _has_rows(tensor: Latent) -> bool:
    """Tell whether zero rows of a tensor are counted: those of dimension 0."""
    within = elements(tensor.shape[2:]) % tensor.symbols.shape[1] == 0
    return len(tensor.shape) > 1 and tensor.symbols.size > 0 and within


def without_zero_rows(
    drafts: Sequence[Draft], tensors: Tensors, places: Mapping[int, int]
) -> list[Draft]:
    """Return drafts in which fixed-point tensors leave out zero rows where they can."""
    found = list(drafts)
    for i, place in places.items():
        record, tensor, scales = drafts[i].record, tensors[i], drafts[place].scales
        if not isinstance(record, FixedRecord) or not isinstance(tensor, Exact):
            continue
        fixed = to_fixed(np.ascontiguousarray(tensor.data))
        if scales is None or fixed is None:
            continue
        stored = scales.stored_rows
        zeros = int(np.count_nonzero(~stored))
        record = replace(record, back=i - place, left_out=zeros)
        found[i] = Draft(record, planes=(histogram(fixed[1][stored]),))
    return found
