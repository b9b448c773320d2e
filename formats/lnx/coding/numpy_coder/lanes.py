"""Messages side by side: which lane is under which table at which step."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.coding.tables import Table

Words = NDArray[np.uint64]
Indices = NDArray[np.int32]

WORD = np.uint64(8 * spec.WORD_BYTES)
SCALE = np.uint64(spec.CODER_BITS)
LEAST_RANGE = np.uint64(1 << 32)
WORD_MASK = np.uint64((1 << 32) - 1)
FULL_RANGE = np.uint64((1 << 64) - 1)


@dataclass(frozen=True, eq=False)
class Models:
    """All tables of a call, those of one symbol left out.

    Attributes:
        tables: each once.
        index: place of each table, by identity.
        bounds: cumulative frequencies scaled to 24 bits, by table.
    """

    tables: tuple[Table, ...]
    index: dict[int, int]
    bounds: tuple[Words, ...]


@dataclass(frozen=True, eq=False)
class Lanes:
    """Messages sorted by length, the longest first.

    Symbols of all lanes are in one flat array, step after step, and in a step by lane.

    Attributes:
        order: message number of each lane.
        lengths: number of coded symbols of each lane.
        active: number of lanes that have each step.
        offsets: where each step starts in the flat array; one more than steps.
        events: (lane, table) of the runs that start at a step.
        runs: table and number of symbols of the runs of each lane.
    """

    order: list[int]
    lengths: NDArray[np.int64]
    active: list[int]
    offsets: NDArray[np.int64]
    events: dict[int, list[tuple[int, int]]]
    runs: list[list[tuple[int, int]]]

    def place(self, lane: int) -> NDArray[np.int64]:
        """Return the places of the symbols of a lane in the flat array."""
        return self.offsets[: int(self.lengths[lane])] + lane

    def steps_of(self, lanes: int) -> int:
        """Return how many steps have that many lanes or more."""
        return int(self.lengths[lanes - 1]) if lanes <= len(self.lengths) else 0

    def runs_of(self, lane: int, done: int) -> Iterator[tuple[int, int]]:
        """Yield what is left of the runs of a lane when some symbols are done."""
        for table, count in self.runs[lane]:
            left = min(count, max(0, count - done))
            done = max(0, done - count)
            if left:
                yield table, left

    def steps(self) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
        """Yield start in the flat array, active lanes, and new runs of each step."""
        none: list[tuple[int, int]] = []
        starts = self.offsets.tolist()
        for step, active in enumerate(self.active):
            yield starts[step], active, self.events.get(step, none)


def models_of(tables: Iterable[Table]) -> Models:
    """Collect the tables of all runs."""
    index: dict[int, int] = {}
    kept: list[Table] = []
    for table in tables:
        if len(table.values) > 1 and id(table) not in index:
            index[id(table)] = len(kept)
            kept.append(table)
    bounds = tuple(
        (
            np.concatenate(([0], np.cumsum(t.frequencies)))
            << (spec.CODER_BITS - t.bits)
        ).astype(np.uint64)
        for t in kept
    )
    return Models(tuple(kept), index, bounds)


def lanes_of(messages: Sequence[Sequence[tuple[Table, int]]], models: Models) -> Lanes:
    """Sort messages, given the length of each of their runs."""
    coded = [
        [(models.index[id(t)], n) for t, n in runs if len(t.values) > 1 and n]
        for runs in messages
    ]
    sizes = [sum(count for _, count in runs) for runs in coded]
    order = sorted(range(len(messages)), key=lambda i: (-sizes[i], i))
    events: dict[int, list[tuple[int, int]]] = {}
    for lane, number in enumerate(order):
        step = 0
        for table, count in coded[number]:
            events.setdefault(step, []).append((lane, table))
            step += count
    lengths = np.array([sizes[i] for i in order], np.int64)
    longest = int(lengths[0]) if len(lengths) else 0
    active = np.searchsorted(-lengths, -np.arange(longest))
    offsets = np.concatenate(([0], np.cumsum(active))).astype(np.int64)
    runs = [coded[number] for number in order]
    return Lanes(order, lengths, active.tolist(), offsets, events, runs)


def starts_of(lengths: Sequence[int]) -> NDArray[np.int64]:
    """Return where parts of some lengths start, one after the other."""
    return np.cumsum([0, *lengths])[:-1].astype(np.int64)
