"""Words -> symbols of one lane, with Python's own integers.

A step of all lanes costs the same for one lane as for sixty: where few are left, each
is finished on its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.coding.numpy_coder.lookups import Ladder, Ladders
from lnx.errors import CorruptError

LEAST_RANGE = 1 << 32
WORD_BITS = 8 * spec.WORD_BYTES
SCALE = spec.CODER_BITS


class OneLane:
    """The state of the range coder for one message: all that is left of its words.

    Attributes:
        point: the coder's point less its lower end.
        span: its range.
        words: those that were not taken so far.
    """

    def __init__(self, point: int, span: int, words: Sequence[int]) -> None:
        self.point = point
        self.span = span
        self.words = words

    def decode(
        self, ladders: Ladders, runs: Iterable[tuple[int, int]]
    ) -> NDArray[np.uint16]:
        """Return the indices of symbols, given runs of a table's place and a length.

        Words that were not taken stay in `words`. Raises CorruptError.
        """
        found: list[int] = []
        words = iter(self.words)
        try:
            for table, count in runs:
                self._decode_run(ladders.of(table), count, words, found)
        except IndexError:
            raise CorruptError("stream does not decode") from None
        self.words = list(words)
        return np.array(found, np.uint16)

    def _decode_run(
        self, ladder: Ladder, count: int, words: Iterator[int], found: list[int]
    ) -> None:
        """Append the indices of a run; an IndexError is a point beyond the range."""
        point, span, append = self.point, self.span, found.append
        slots, lows, widths, shift = ladder
        for _ in repeat(None, count):
            unit = span >> SCALE << shift
            index = slots[point // unit]
            point -= unit * lows[index]
            span = unit * widths[index]
            if span < LEAST_RANGE:
                span <<= WORD_BITS
                point = point << WORD_BITS | next(words, 0)
            append(index)
        self.point, self.span = point, span
