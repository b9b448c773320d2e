"""The range coder with numpy alone: many messages in lock-step, a lane each.

Bit for bit the coder of constriction (`formats/SPEC.md`, Range coder): for platforms
that it has no wheel for. Messages are independent, so step t of all lanes is a handful
of vector operations; lanes are sorted by length, and those at their end drop out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.errors import CorruptError
from lnx.tables import PRICE_BITS, Table

Words = NDArray[np.uint64]
Symbols = NDArray[np.int32]

WORD = np.uint64(8 * spec.WORD_BYTES)
SCALE = np.uint64(spec.CODER_BITS)
LEAST_RANGE = np.uint64(1 << 32)
WORD_MASK = np.uint64((1 << 32) - 1)
FULL_RANGE = np.uint64((1 << 64) - 1)
# The range is at least 2**32 before a step, so dividing it loses 2**-8 of it at most.
LOSS_PRICE = (1 << PRICE_BITS) // 128


@dataclass(frozen=True, eq=False)
class _Models:
    """All tables of a call in flat arrays; a table is a place in each of them.

    Attributes:
        index: place of each table, by identity.
        slots: symbol index of every slot; table t starts at slot_base[t].
        bounds: cumulative frequencies scaled to 24 bits, from bound_base[t].
        shifts: 24 minus the precision of each table.
    """

    index: dict[int, int]
    slots: NDArray[np.uint16]
    slot_base: NDArray[np.int64]
    bounds: Words
    bound_base: NDArray[np.int64]
    shifts: Words


@dataclass(frozen=True, eq=False)
class _Lanes:
    """Messages sorted by length, the longest first.

    Attributes:
        order: message number of each lane.
        lengths: number of coded symbols of each lane.
        starts: where each lane's symbols start in a flat array of all.
        events: (step, lane, table) where a run starts, by step.
    """

    order: list[int]
    lengths: NDArray[np.int64]
    starts: NDArray[np.int64]
    events: list[tuple[int, int, int]]


def decode_lanes(
    messages: Sequence[tuple[bytes, Sequence[tuple[Table, int]]]],
) -> list[list[Symbols]]:
    """Return the symbols of each run of each message.

    Raises CorruptError for words that no message has; most damage goes unseen.
    """
    runs = [run for _, message in messages for run in message]
    models = _models(table for table, _ in runs)
    lanes = _lanes([message for _, message in messages], models)
    flat = _decode(models, lanes, [messages[i][0] for i in lanes.order])
    found: list[list[Symbols]] = [[] for _ in messages]
    for lane, number in enumerate(lanes.order):
        at = int(lanes.starts[lane])
        for table, count in messages[number][1]:
            values = table.values.astype(np.int32)
            if len(values) == 1:
                found[number].append(np.full(count, values[0], np.int32))
                continue
            found[number].append(values[flat[at : at + count]])
            at += count
    return found


def encode_lanes(messages: Sequence[Sequence[tuple[Table, Symbols]]]) -> list[bytes]:
    """Return the words of each message; symbols must be in their tables."""
    models = _models(table for message in messages for table, _ in message)
    counted = [[(t, len(s)) for t, s in message] for message in messages]
    lanes = _lanes(counted, models)
    flat = np.empty(int(lanes.lengths.sum()), np.int32)
    room = np.empty(len(messages), np.int64)
    for lane, number in enumerate(lanes.order):
        at, price = int(lanes.starts[lane]), 0
        for table, symbols in messages[number]:
            if len(table.values) > 1:
                indices = table.indices(symbols)
                flat[at : at + len(indices)] = indices
                at += len(indices)
                price += int(table.prices()[indices].sum()) + LOSS_PRICE * len(indices)
        room[lane] = (price >> PRICE_BITS) // 32 + 4
    words, used = _encode(models, lanes, flat, room)
    found = [b""] * len(messages)
    at = 0
    for lane, number in enumerate(lanes.order):
        mine = words[at : at + int(used[lane])]
        found[number] = mine.astype("<u4").tobytes()
        at += int(room[lane])
    return found


def _models(tables: Iterable[Table]) -> _Models:
    index: dict[int, int] = {}
    kept: list[Table] = []
    for table in tables:
        if len(table.values) > 1 and id(table) not in index:
            index[id(table)] = len(kept)
            kept.append(table)
    slots = [
        np.repeat(np.arange(len(t.values), dtype=np.uint16), t.frequencies)
        for t in kept
    ]
    bounds = [
        np.concatenate(([0], np.cumsum(t.frequencies))) << (spec.CODER_BITS - t.bits)
        for t in kept
    ]
    shifts = np.array([spec.CODER_BITS - table.bits for table in kept], np.uint64)
    return _Models(
        index,
        np.concatenate(slots) if slots else np.zeros(0, np.uint16),
        _bases([len(x) for x in slots]),
        np.concatenate(bounds).astype(np.uint64) if bounds else np.zeros(0, np.uint64),
        _bases([len(x) for x in bounds]),
        shifts,
    )


def _bases(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *lengths])[:-1].astype(np.int64)


def _lanes(messages: Sequence[Sequence[tuple[Table, int]]], models: _Models) -> _Lanes:
    coded = [
        [(models.index[id(t)], n) for t, n in runs if len(t.values) > 1 and n]
        for runs in messages
    ]
    sizes = [sum(count for _, count in runs) for runs in coded]
    order = sorted(range(len(messages)), key=lambda i: (-sizes[i], i))
    events = []
    for lane, number in enumerate(order):
        step = 0
        for table, count in coded[number]:
            events.append((step, lane, table))
            step += count
    lengths = np.array([sizes[i] for i in order], np.int64)
    return _Lanes(order, lengths, _bases(lengths.tolist()), sorted(events))


class _Cursor:
    """Which table each lane is under, moved on step by step."""

    def __init__(self, models: _Models, lanes: _Lanes) -> None:
        self._models = models
        self._events = lanes.events
        self._next = 0
        count = len(lanes.order)
        self.slot_base = np.zeros(count, np.int64)
        self.bound_base = np.zeros(count, np.int64)
        self.shifts = np.zeros(count, np.uint64)
        self._active = np.searchsorted(-lanes.lengths, -np.arange(self.steps(lanes)))

    @staticmethod
    def steps(lanes: _Lanes) -> int:
        """Return the length of the longest lane."""
        return int(lanes.lengths[0]) if len(lanes.lengths) else 0

    def move(self, step: int) -> int:
        """Start the runs of a step; return the number of lanes that have it."""
        events, models = self._events, self._models
        while self._next < len(events) and events[self._next][0] == step:
            _, lane, table = events[self._next]
            self.slot_base[lane] = models.slot_base[table]
            self.bound_base[lane] = models.bound_base[table]
            self.shifts[lane] = models.shifts[table]
            self._next += 1
        return int(self._active[step])


def _decode(models: _Models, lanes: _Lanes, data: Sequence[bytes]) -> Symbols:
    """Return symbol indices of all lanes in one flat array."""
    words = [np.frombuffer(d, "<u4").astype(np.uint64) for d in data]
    lengths = np.array([len(w) for w in words], np.int64)
    starts = _bases((lengths + 1).tolist())  # a zero word stands after each lane
    zero = np.zeros(1, np.uint64)
    tape = np.concatenate([part for w in words for part in (w, zero)] or [zero])
    ends = starts + lengths
    at = starts.copy()

    def read(who: NDArray[np.int64]) -> Words:
        place = at[who]
        at[who] = np.minimum(place + 1, ends[who])
        return tape[place]

    everyone = np.arange(len(words))
    point = read(everyone) << WORD
    point |= read(everyone)
    lower = np.zeros(len(words), np.uint64)
    span = np.full(len(words), FULL_RANGE)
    flat = np.empty(int(lanes.lengths.sum()), np.int32)
    cursor = _Cursor(models, lanes)
    for step in range(cursor.steps(lanes)):
        n = cursor.move(step)
        low, unit = lower[:n], span[:n] >> SCALE
        slot = ((point[:n] - low) // unit) >> cursor.shifts[:n]
        if int((slot << cursor.shifts[:n]).max()) >> spec.CODER_BITS:
            raise CorruptError("stream does not decode")
        symbol = models.slots[cursor.slot_base[:n] + slot.astype(np.int64)]
        flat[lanes.starts[:n] + step] = symbol
        place = cursor.bound_base[:n] + symbol
        bound = models.bounds[place]
        low += unit * bound
        span[:n] = unit * (models.bounds[place + 1] - bound)
        short = np.flatnonzero(span[:n] < LEAST_RANGE)
        if len(short):
            lower[short] <<= WORD
            span[short] <<= WORD
            point[short] = point[short] << WORD | read(short)
    if bool((at < ends).any()):
        raise CorruptError("words are left over at the end of a stream")
    return flat


def _encode(
    models: _Models, lanes: _Lanes, flat: Symbols, room: NDArray[np.int64]
) -> tuple[Words, NDArray[np.int64]]:
    """Return a tape with room for each lane's words, and how many are used."""
    count = len(lanes.order)
    tape = np.zeros(int(room.sum()) + 1, np.uint64)
    starts = _bases(room.tolist())
    at = starts.copy()
    lower = np.zeros(count, np.uint64)
    span = np.full(count, FULL_RANGE)
    cursor = _Cursor(models, lanes)

    def emit(who: NDArray[np.int64], words: Words) -> None:
        tape[at[who]] = words
        at[who] += 1

    def carry(who: NDArray[np.int64]) -> None:
        """Add one to the last word of some lanes, and on through full words."""
        place = at[who] - 1
        while len(place):
            tape[place] = (tape[place] + np.uint64(1)) & WORD_MASK
            place = place[tape[place] == 0] - 1

    for step in range(cursor.steps(lanes)):
        n = cursor.move(step)
        unit = span[:n] >> SCALE
        place = cursor.bound_base[:n] + flat[lanes.starts[:n] + step]
        bound = models.bounds[place]
        moved = lower[:n] + unit * bound
        carry(np.flatnonzero(moved < lower[:n]))
        lower[:n] = moved
        span[:n] = unit * (models.bounds[place + 1] - bound)
        short = np.flatnonzero(span[:n] < LEAST_RANGE)
        if len(short):
            emit(short, lower[short] >> WORD)
            lower[short] <<= WORD
            span[short] <<= WORD
    coded = np.flatnonzero(lanes.lengths > 0)
    last = lower[coded] + WORD_MASK
    carry(coded[last < lower[coded]])
    emit(coded, last >> WORD)
    again = (lower[coded] + span[coded]) >> WORD == last >> WORD
    emit(coded[again], np.zeros(int(again.sum()), np.uint64))
    return tape, at - starts
