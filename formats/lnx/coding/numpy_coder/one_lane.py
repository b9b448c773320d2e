"""Words -> symbols of one lane, with Python's own integers.

A step of all lanes costs the same for one lane as for a hundred: where few are left,
each is finished on its own.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from lnx import spec
from lnx.coding.numpy_coder.lanes import Models
from lnx.errors import CorruptError

MASK = (1 << 64) - 1
LEAST_RANGE = 1 << 32
WORD_BITS = 8 * spec.WORD_BYTES


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

    def decode(self, models: Models, runs: Iterable[tuple[int, int]]) -> list[int]:
        """Return the indices of symbols, given runs of a table's place and a length.

        Words that were not taken stay in `words`. Raises CorruptError.
        """
        point, span, words = self.point, self.span, iter(self.words)
        found: list[int] = []
        taken = 0
        for table, count in runs:
            bounds = models.lists[table]
            for _ in range(count):
                unit = span >> spec.CODER_BITS
                quantile = point // unit
                if quantile >> spec.CODER_BITS:
                    raise CorruptError("stream does not decode")
                index = bisect_right(bounds, quantile) - 1
                low = bounds[index]
                point -= unit * low
                span = unit * (bounds[index + 1] - low)
                if span < LEAST_RANGE:
                    span <<= WORD_BITS
                    point = (point << WORD_BITS | next(words, 0)) & MASK
                    taken += 1
                found.append(index)
        self.point, self.span, self.words = point, span, self.words[taken:]
        return found
