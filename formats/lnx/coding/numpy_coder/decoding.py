"""Words -> symbols, all lanes in lock-step while there are many.

Of `lower` and `point` (`formats/SPEC.md`, Range coder) only the difference matters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

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
from lnx.coding.numpy_coder.lookups import (
    START_SHIFT,
    SYMBOL_BITS,
    SYMBOL_MASK,
    WIDTH_MASK,
    Ladders,
    Slots,
    slots_of,
)
from lnx.coding.numpy_coder.one_lane import OneLane
from lnx.coding.tables import Table
from lnx.dtypes import Symbols
from lnx.errors import CorruptError

MOST_LEFT = np.uint64((1 << 33) - 1)  # of point - lower when all symbols are there
FEW_LANES = 48  # a step of fewer costs more than their symbols one by one


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


@dataclass(frozen=True, eq=False)
class _State:
    """Where all lanes are: point less lower end, range, and place of the next word."""

    point: Words
    span: Words
    at: NDArray[np.int64]


def _decode(models: Models, lanes: Lanes, data: Sequence[bytes]) -> Words:
    """Return the packed entry of every symbol; of some only its index is right."""
    tape = _tape(data)
    state = _State(
        tape.words[tape.starts] << WORD | tape.words[tape.starts + 1],
        np.full(len(data), FULL_RANGE),
        np.minimum(tape.starts + 2, tape.ends),
    )
    entries = np.empty(int(lanes.offsets[-1]), np.uint64)
    together = lanes.steps_of(FEW_LANES)
    if together:
        _decode_together(slots_of(models), lanes, tape, state, entries, together)
    ladders = Ladders(models)
    for lane, length in enumerate(lanes.lengths[:FEW_LANES].tolist()):
        if length > together:
            _decode_alone(ladders, lanes, lane, tape, state, entries, together)
    left = (state.point >= MOST_LEFT) & (state.span != FULL_RANGE)
    if bool(((state.at < tape.ends) | left).any()):
        raise CorruptError("words are left over at the end of a stream")
    return entries


def _decode_together(
    slots: Slots,
    lanes: Lanes,
    tape: _Tape,
    state: _State,
    entries: Words,
    together: int,
) -> None:
    """Decode the first steps, each of all lanes that have it."""
    count = len(state.at)
    base, shift = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    unit, bound = np.empty_like(state.span), np.empty_like(state.span)
    largest = np.zeros(count, np.uint64)
    for start, n, events in islice(lanes.steps(), together):
        for lane, table in events:
            base[lane], shift[lane] = slots.bases[table], slots.shifts[table]
        d, s, u, b = state.point[:n], state.span[:n], unit[:n], bound[:n]
        np.right_shift(s, SCALE, out=u)
        np.floor_divide(d, u, out=b)
        np.maximum(largest[:n], b, out=largest[:n])
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
        (low,) = np.less(s, LEAST_RANGE).nonzero()
        if len(low):
            _refill(low, d, s, tape, state.at)
    if int(largest.max()) >> spec.CODER_BITS:
        raise CorruptError("stream does not decode")


def _decode_alone(
    ladders: Ladders,
    lanes: Lanes,
    lane: int,
    tape: _Tape,
    state: _State,
    entries: Words,
    done: int,
) -> None:
    """Decode what is left of a lane when some of its symbols are done."""
    end = int(tape.ends[lane])
    words = tape.words[state.at[lane] : end].tolist()
    one = OneLane(int(state.point[lane]), int(state.span[lane]), words)
    entries[lanes.place(lane)[done:]] = one.decode(ladders, lanes.runs_of(lane, done))
    state.point[lane], state.span[lane] = one.point, one.span
    state.at[lane] = end - len(one.words)


def _refill(
    who: NDArray[np.intp], point: Words, span: Words, tape: _Tape, at: NDArray[np.int64]
) -> None:
    """Take the next word into the lanes whose range became short."""
    place = at[who]
    span[who] <<= WORD
    point[who] = point[who] << WORD | tape.words[place]
    at[who] = np.minimum(place + 1, tape.ends[who])
