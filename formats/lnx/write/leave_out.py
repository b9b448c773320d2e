"""Numbers of rows that are all zero, left out of the tensors that follow them.

A filter without weights has, in a trained network, a norm and a bias that are zero as
well. Scales say which rows these are.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

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

    Vectors follow the latest latent tensor before them that has as many rows.
    """
    found: list[int | None] = []
    latest: dict[int, int] = {}  # place by the number of rows
    for i, tensor in enumerate(tensors):
        place = None
        if isinstance(tensor, Latent) and len(tensor.shape) > 1:
            latest[tensor.shape[0]] = i
        elif isinstance(tensor, Exact) and len(tensor.shape) == 1:
            place = latest.get(tensor.shape[0])
        found.append(place)
    return found


def _following(
    draft: Draft, record: FixedRecord, tensor: Exact, back: int, scales: Scales
) -> Draft:
    stored = scales.stored_rows
    fixed = to_fixed(np.ascontiguousarray(tensor.data))
    if fixed is None or stored.all() or len(stored) != len(fixed[1]):
        return draft
    if fixed[1][~stored].any() or not stored.any():
        return draft
    zeros = int(np.count_nonzero(~stored))
    kept = replace(record, back=back, left_out=zeros)
    return Draft(kept, planes=(histogram(fixed[1][stored]),))
