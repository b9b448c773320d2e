"""Look-ups of a decoder: from a slot of a table to its symbol, one a step.

For lanes in lock-step each slot gives, in one number, where its symbol's interval
starts, how wide it is, and which symbol it is.
"""

from array import array
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lnx import spec
from lnx.coding.numpy_coder.lanes import Models, Words, starts_of

SYMBOL_BITS = np.uint64(14)  # of 16384 symbols
WIDTH_BITS = np.uint64(25)  # of widths up to 2**24
SYMBOL_MASK = np.uint64((1 << 14) - 1)
WIDTH_MASK = np.uint64((1 << 25) - 1)
START_SHIFT = SYMBOL_BITS + WIDTH_BITS
MOST_SLOTS = 1 << 21  # 16 MB of look-ups


@dataclass(frozen=True, eq=False)
class Slots:
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
class _Symbols(Slots):
    """One entry for each symbol, found by search: for many tables that are used little.

    Attributes:
        starts: where the interval of each entry starts, the base of its table added.
    """

    starts: Words

    def find(self, slots: Words, found: Words) -> None:
        """Search the entries of some quantiles, which were based."""
        place = self.starts.searchsorted(slots, "right") - 1
        self.entries.take(place, out=found, mode="clip")


def slots_of(models: Models) -> Slots:
    """Return the look-ups of all tables."""
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
    return Slots(
        np.concatenate([none, *slots]),
        starts_of([len(x) for x in slots]).tolist(),
        [spec.CODER_BITS - table.bits for table in models.tables],
    )


class Ladder(NamedTuple):
    """Look-ups of one table for a lane on its own, in Python's own integers.

    Attributes:
        slots: symbol index of each slot.
        lows: slot where the interval of each symbol starts.
        widths: number of its slots.
        shift: 24 minus the precision of the table.
    """

    slots: "array[int]"
    lows: list[int]
    widths: list[int]
    shift: int


class Ladders:
    """The ladders of the tables that are used, each made once."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._made: dict[int, Ladder] = {}

    def of(self, number: int) -> Ladder:
        """Return the ladder of a table, given its place."""
        if number not in self._made:
            table = self._models.tables[number]
            widths = table.frequencies
            slots = np.repeat(np.arange(len(widths), dtype=np.uint16), widths)
            self._made[number] = Ladder(
                array("H", slots.tobytes()),
                (np.cumsum(widths) - widths).tolist(),
                widths.tolist(),
                spec.CODER_BITS - table.bits,
            )
        return self._made[number]
