"""Symbols -> words, all lanes in lock-step."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lnx.coding.numpy_coder.lanes import (
    FULL_RANGE,
    LEAST_RANGE,
    SCALE,
    WORD,
    WORD_MASK,
    Indices,
    Lanes,
    Models,
    Words,
    lanes_of,
    models_of,
    starts_of,
)
from lnx.coding.tables import PRICE_BITS, Table
from lnx.dtypes import Symbols

# The range is at least 2**32 before a step, so dividing it loses 2**-8 of it at most.
LOSS_PRICE = (1 << PRICE_BITS) // 128


def encode_lanes(messages: Sequence[Sequence[tuple[Table, Symbols]]]) -> list[bytes]:
    """Return the words of each message; symbols must be in their tables."""
    models = models_of(table for message in messages for table, _ in message)
    counted = [[(t, len(s)) for t, s in message] for message in messages]
    lanes = lanes_of(counted, models)
    flat = np.empty(int(lanes.offsets[-1]), np.int32)
    room = np.empty(len(messages), np.int64)
    for lane, number in enumerate(lanes.order):
        price, runs = 0, [np.zeros(0, np.int32)]
        for table, symbols in messages[number]:
            if len(table.values) > 1:
                indices = table.indices(symbols)
                runs.append(indices)
                price += int(table.prices[indices].sum()) + LOSS_PRICE * len(indices)
        flat[lanes.place(lane)] = np.concatenate(runs)
        room[lane] = (price >> PRICE_BITS) // 32 + 4
    words, used = _encode(models, lanes, flat, room)
    found = [b""] * len(messages)
    starts = starts_of(room.tolist()).tolist()
    for lane, number in enumerate(lanes.order):
        mine = words[starts[lane] : starts[lane] + int(used[lane])]
        found[number] = mine.astype("<u4").tobytes()
    return found


class _Out:
    """A tape with room for the words of each lane."""

    def __init__(self, room: NDArray[np.int64]) -> None:
        self.words = np.zeros(int(room.sum()) + 1, np.uint64)
        self.at = starts_of(room.tolist())

    def emit(self, who: NDArray[np.intp], words: Words) -> None:
        """Append a word to some lanes."""
        self.words[self.at[who]] = words
        self.at[who] += 1

    def carry(self, who: NDArray[np.intp]) -> None:
        """Add one to the last word of some lanes, and on through full words."""
        place = self.at[who] - 1
        while len(place):
            self.words[place] = (self.words[place] + np.uint64(1)) & WORD_MASK
            place = place[self.words[place] == 0] - 1


def _encode(
    models: Models, lanes: Lanes, flat: Indices, room: NDArray[np.int64]
) -> tuple[Words, NDArray[np.int64]]:
    """Return a tape with room for each lane's words, and how many are used."""
    bounds = np.concatenate([np.zeros(0, np.uint64), *models.bounds])
    bases = starts_of([len(x) for x in models.bounds]).tolist()
    count = len(lanes.order)
    out, starts = _Out(room), starts_of(room.tolist())
    lower, span = np.zeros(count, np.uint64), np.full(count, FULL_RANGE)
    base = np.zeros(count, np.int64)
    for start, n, events in lanes.steps():
        for lane, table in events:
            base[lane] = bases[table]
        s, low = span[:n], lower[:n]
        unit = s >> SCALE
        place = base[:n] + flat[start : start + n]
        bound = bounds.take(place)
        moved = low + unit * bound
        wrapped = moved < low
        if wrapped.any():
            out.carry(np.flatnonzero(wrapped))
        low[:] = moved
        place += 1
        np.multiply(unit, bounds.take(place) - bound, out=s)
        short = s < LEAST_RANGE
        if short.any():
            who = np.flatnonzero(short)
            out.emit(who, low[who] >> WORD)
            low[who] <<= WORD
            s[who] <<= WORD
    _end(out, lower, span, np.flatnonzero(lanes.lengths > 0))
    return out.words, out.at - starts


def _end(out: _Out, lower: Words, span: Words, coded: NDArray[np.intp]) -> None:
    """Emit the words that name a point inside the last range."""
    last = lower[coded] + WORD_MASK
    out.carry(coded[last < lower[coded]])
    out.emit(coded, last >> WORD)
    again = (lower[coded] + span[coded]) >> WORD == last >> WORD
    out.emit(coded[again], np.zeros(int(again.sum()), np.uint64))
