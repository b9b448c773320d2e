"""What a search says of how far it is: tries so far, and about how many it takes."""

import math
from typing import Protocol

from lilnetx_cli.quantization.cells import Cells
from lilnetx_cli.quantization.rounding import Rounded, round_cells

GAIN = 6.0  # how many times nearer a try brings the next, on average
FIRST = 3.0  # tries that are expected before the first one told its distance
AFTER_SAMPLE = 2.0  # the same, where a part of the weights was searched first


class Progress(Protocol):
    """Is told how many tries are done, and about how many there will be.

    Both are fractions while a try runs. The total moves as the search learns.
    """

    def __call__(self, done: float, /, *, total: float) -> object:
        """Take both."""


class Tries:
    """Rounds for one or more searches, and tells their progress.

    A try with a part of the weights counts as that part of one.
    """

    def __init__(self, progress: Progress | None, cells: Cells) -> None:
        self._progress = progress
        self._whole = max(len(cells.segments), 1)
        self._done = 0.0
        self._left = FIRST

    def round(self, cells: Cells, step: float, last: Rounded | None = None) -> Rounded:
        """Make a try; see `round_cells`."""
        share = self._share(cells)
        start, total = self._done, self._done + max(self._left, share)

        def tick(part: float) -> None:
            if self._progress is not None:
                self._progress(start + share * part, total=total)

        rounded = round_cells(cells, step, last, tick)
        self._done = start + share
        return rounded

    def expect(self, cells: Cells, distance: float, slack: float) -> None:
        """Take how far the last try ended from what is searched for; both positive."""
        share = self._share(cells)
        more = 0.0
        if distance > slack:
            more = 1 + math.log(distance / slack) / math.log(GAIN)
        self._left = share * more + (AFTER_SAMPLE if share < 1 else 0)

    def _share(self, cells: Cells) -> float:
        return len(cells.segments) / self._whole
