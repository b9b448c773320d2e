"""Words -> symbols, all lanes in lock-step.

Of `lower` and `point` (`formats/SPEC.md`, Range coder) only the difference matters.
Each slot of a table gives, in one number, where its symbol's interval starts, how wide
it is, and which symbol it is: one look-up a step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.coding.numpy_coder.lanes import (
    FULL_RANGE,
    LEAST_RANGE,
    SCALE,
    WORD,
    Lanes,
    Models,
    Words,
    lanes_of,
    models_of,
    starts_of,
)
from lnx.coding.tables import Table
from lnx.dtypes import Symbols
from lnx.errors import CorruptError

SYMBOL_BITS = np.uint64(14)  # of 16384 symbols
WIDTH_BITS = np.uint64(25)  # of widths up to 2**24
SYMBOL_MASK = np.uint64((1 << 14) - 1)
WIDTH_MASK = np.uint64((1 << 25) - 1)
MOST_LEFT = np.uint64((1 << 33) - 1)  # of point - lower when all symbols are there
MOST_SLOTS = 1 << 21  # 16 MB of look-ups
LAST_SLOT = np.uint64((1 << spec.CODER_BITS) - 1)
START_SHIFT = SYMBOL_BITS + WIDTH_BITS


def decode_lanes(
    messages: Sequence[tuple[bytes, Sequence[tuple[Table, int]]]],
) -> list[list[Symbols]]:
    """Return the symbols of each run of each message.

    Raises CorruptError for words that no message has; most damage goes unseen.
    """
    models = models_of(table for _, message in messages for table, _ in message)
    lanes = lanes_of([message for _, message in messages], models)
    entries = _decode(models, lanes, [messages[i][0] for i in lanes.order])
    found: list[list[Symbols]] = [[] for _ in messages]
    for lane, number in enumerate(lanes.order):
        mine = (entries[lanes.place(lane)] & SYMBOL_MASK).astype(np.int32)
        at = 0
        for table, count in messages[number][1]:
            if len(table.values) == 1:
                found[number].append(np.full(count, table.values[0], table.symbol_type))
                continue
            found[number].append(table.symbols(mine[at : at + count]))
            at += count
    return found


@dataclass(frozen=True, eq=False)
class _Slots:
    """Look-ups of all tables; table t starts at bases[t].

    Attributes:
        entries: start, width and symbol index of every slot, packed.
        shifts: 24 minus the precision of each table.
    """

    entries: Words
    bases: list[int]
    shifts: list[int]

    def find(self, slots: Words, found: Words) -> None:
        """Look up the entries of some slots, which were shifted and based."""
        self.entries.take(slots.view(np.int64), out=found, mode="clip")


@dataclass(frozen=True, eq=False)
class _Symbols(_Slots):
    """The same with an entry a symbol, searched for: for many tables, little used.

    Attributes:
        starts: where the interval of each entry starts, the base of its table added.
    """

    starts: Words

    def find(self, slots: Words, found: Words) -> None:
        """Search the entries of some quantiles, which were based."""
        place = self.starts.searchsorted(slots, "right") - 1
        self.entries.take(place, out=found, mode="clip")


def _slots(models: Models) -> _Slots:
    packed = [
        bounds[:-1] << START_SHIFT
        | np.diff(bounds) << SYMBOL_BITS
        | np.arange(len(bounds) - 1, dtype=np.uint64)
        for bounds in models.bounds
    ]
    none = np.zeros(0, np.uint64)
    if sum(1 << table.bits for table in models.tables) > MOST_SLOTS:
        step = 1 << spec.CODER_BITS
        bases = [number * step for number in range(len(packed))]
        starts = [
            bounds[:-1] + np.uint64(base)
            for bounds, base in zip(models.bounds, bases, strict=True)
        ]
        shifts = [0] * len(bases)
        entries = np.concatenate(packed)
        return _Symbols(entries, bases, shifts, np.concatenate(starts))
    slots = [
        np.repeat(entries, table.frequencies)
        for entries, table in zip(packed, models.tables, strict=True)
    ]
    return _Slots(
        np.concatenate([none, *slots]),
        starts_of([len(x) for x in slots]).tolist(),
        [spec.CODER_BITS - table.bits for table in models.tables],
    )


@dataclass(frozen=True, eq=False)
class _Tape:
    """The words of all lanes, two zeros behind each."""

    words: Words
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def _tape(data: Sequence[bytes]) -> _Tape:
    words = [np.frombuffer(d, "<u4") for d in data]
    lengths = np.array([len(w) for w in words], np.int64)
    starts = starts_of((lengths + 2).tolist())
    tape = np.zeros(int(lengths.sum()) + 2 * len(words), np.uint64)
    for start, mine in zip(starts.tolist(), words, strict=True):
        tape[start : start + len(mine)] = mine
    return _Tape(tape, starts, starts + lengths)


def _decode(models: Models, lanes: Lanes, data: Sequence[bytes]) -> Words:
    """Return the packed entry of every symbol."""
    slots, tape = _slots(models), _tape(data)
    count = len(data)
    at = np.minimum(tape.starts + 2, tape.ends)
    point = tape.words[tape.starts] << WORD | tape.words[tape.starts + 1]
    span = np.full(count, FULL_RANGE)
    base, shift = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    unit, bound = np.empty_like(span), np.empty_like(span)
    entries = np.empty(int(lanes.offsets[-1]), np.uint64)
    largest = np.zeros(count, np.uint64)
    for start, n, events in lanes.steps():
        for lane, table in events:
            base[lane], shift[lane] = slots.bases[table], slots.shifts[table]
        d, s, u, b = point[:n], span[:n], unit[:n], bound[:n]
        np.right_shift(s, SCALE, out=u)
        np.floor_divide(d, u, out=b)
        np.maximum(largest[:n], b, out=largest[:n])
        np.minimum(b, LAST_SLOT, out=b)
        np.right_shift(b, shift[:n], out=b)
        np.add(b, base[:n], out=b)
        found = entries[start : start + n]
        slots.find(b, found)
        np.right_shift(found, START_SHIFT, out=b)
        np.multiply(b, u, out=b)
        np.subtract(d, b, out=d)
        np.right_shift(found, SYMBOL_BITS, out=b)
        np.bitwise_and(b, WIDTH_MASK, out=b)
        np.multiply(u, b, out=s)
        low = np.less(s, LEAST_RANGE)
        if low.any():
            _refill(np.flatnonzero(low), d, s, tape, at)
    if len(largest) and int(largest.max()) >> spec.CODER_BITS:
        raise CorruptError("stream does not decode")
    unread = (at < tape.ends) | ((point >= MOST_LEFT) & (span != FULL_RANGE))
    if bool(unread.any()):
        raise CorruptError("words are left over at the end of a stream")
    return entries


def _refill(
    who: NDArray[np.intp], point: Words, span: Words, tape: _Tape, at: NDArray[np.int64]
) -> None:
    """Take the next word into the lanes whose range became short."""
    place = at[who]
    span[who] <<= WORD
    point[who] = point[who] << WORD | tape.words[place]
    at[who] = np.minimum(place + 1, tape.ends[who])
