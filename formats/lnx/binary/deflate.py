"""Raw DEFLATE (RFC 1951), written so that equal bytes pack to equal bytes everywhere.

zlib and its relatives differ in what they write, not in what they read: readers use
whichever is there. Matches are chosen by their price in bits under the code of the
round before, which also packs a little better than zlib does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from lnx.binary.huffman import code_lengths, codes

WINDOW = 1 << 15
LEAST, MOST = 3, 258  # bytes of a match
CANDIDATES = 48  # places looked at for a match
ROUNDS = 3
LONG = 64  # a match of so many bytes is not taken in part
PRICED_BYTES = 1 << 16  # longer data takes the longest match at each place
END = 256
ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)

FIXED = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8  # the code that is always there
FIXED_DISTANCES = [5] * 30

Match = tuple[int, int]  # length and distance; (1, 0) is a literal


def _classes(first: int, extras: Sequence[int], last: int) -> list[tuple[int, int]]:
    """Return (base, extra bits) of each class of lengths or distances."""
    found, base = [], first
    for extra in extras:
        found.append((base, extra))
        base += 1 << extra
    return [*found[:-1], (last, 0)] if last else found


_LENGTHS = _classes(
    LEAST, [0] * 4 + [e for e in range(6) for _ in range(4)] + [0], MOST
)
_DISTANCES = _classes(1, [0, 0] + [e for e in range(14) for _ in range(2)], 0)


def _index(classes: Sequence[tuple[int, int]], top: int) -> list[int]:
    """Return the class of each number up to top."""
    found, at = [], 0
    for number in range(top + 1):
        while at + 1 < len(classes) and classes[at + 1][0] <= number:
            at += 1
        found.append(at)
    return found


_LENGTH_CLASS = _index(_LENGTHS, MOST)
_DISTANCE_CLASS = _index(_DISTANCES, WINDOW)


def deflate(data: bytes, dictionary: bytes = b"") -> bytes:
    """Pack bytes into one block, as if dictionary stood before them."""
    text, start = dictionary + data, len(dictionary)
    found = _matches(text, start)
    best = _emit(data, [(1, 0)] * len(data))
    if len(data) > PRICED_BYTES:
        return min(best, _emit(data, _longest(found)), key=len)
    parse = _cheapest(data, found, _Prices(FIXED, FIXED_DISTANCES))
    best = min(best, _emit_fixed(data, parse), key=len)
    for _ in range(ROUNDS):
        best = min(best, _emit(data, parse), key=len)
        parse = _cheapest(data, found, _prices(data, parse))
    return min(best, _emit(data, parse), key=len)


@dataclass(frozen=True)
class _Prices:
    """Bits of each literal or length class, and of each distance class."""

    symbols: list[int]
    distances: list[int]


def _matches(text: bytes, start: int) -> list[list[Match]]:
    """Return the matches at each place from start on, the longer the farther."""
    heads: dict[bytes, list[int]] = {}
    found = []
    for at in range(len(text)):
        key = text[at : at + LEAST]
        places = heads.setdefault(key, [])
        if at >= start:
            found.append(_longer(text, at, places) if len(key) == LEAST else [])
        places.append(at)
    return found


def _longer(text: bytes, at: int, places: list[int]) -> list[Match]:
    longest, most = LEAST - 1, min(MOST, len(text) - at)
    target = text[at : at + most]
    found = []
    for place in places[: -CANDIDATES - 1 : -1]:
        if at - place > WINDOW or longest == most:
            break
        if text[place : place + longest + 1] == target[: longest + 1]:
            longest = _common(text[place : place + most], target, longest + 1)
            found.append((longest, at - place))
    return found


def _common(one: bytes, other: bytes, length: int) -> int:
    """Return how many bytes are equal, given that length ones are."""
    step = MOST
    while step:
        if one[length : length + step] == other[length : length + step]:
            length = min(length + step, len(other))
        step //= 2
    return length


def _longest(found: Sequence[Sequence[Match]]) -> list[Match]:
    """Take the longest match at each place."""
    parse, at = [], 0
    while at < len(found):
        match = found[at][-1] if found[at] else (1, 0)
        parse.append(match)
        at += match[0]
    return parse


def _cheapest(
    data: bytes, found: Sequence[Sequence[Match]], prices: _Prices
) -> list[Match]:
    """Return the literals and matches of least price, from the end to the start."""
    rest = [0] * (len(data) + 1)
    step: list[Match] = [(1, 0)] * len(data)
    for at in range(len(data) - 1, -1, -1):
        best, choice = prices.symbols[data[at]] + rest[at + 1], (1, 0)
        shortest = LEAST
        for longest, distance in found[at]:
            far = _DISTANCE_CLASS[distance]
            price = prices.distances[far] + _DISTANCES[far][1]
            if longest >= LONG:
                shortest = longest
            for length in range(shortest, longest + 1):
                near = _LENGTH_CLASS[length]
                total = price + prices.symbols[END + 1 + near] + _LENGTHS[near][1]
                total += rest[at + length]
                if total < best:
                    best, choice = total, (length, distance)
            shortest = longest + 1
        rest[at], step[at] = best, choice
    parse, at = [], 0
    while at < len(data):
        parse.append(step[at])
        at += step[at][0]
    return parse


def _counts(data: bytes, parse: Sequence[Match]) -> tuple[list[int], list[int]]:
    symbols, distances = [0] * (END + 30), [0] * 30
    symbols[END] = 1
    at = 0
    for length, distance in parse:
        if distance:
            symbols[END + 1 + _LENGTH_CLASS[length]] += 1
            distances[_DISTANCE_CLASS[distance]] += 1
        else:
            symbols[data[at]] += 1
        at += length
    return symbols, distances


def _prices(data: bytes, parse: Sequence[Match]) -> _Prices:
    """Return what symbols cost under the code of a parse; unused ones much."""
    symbols, distances = _counts(data, parse)
    return _Prices(
        [length or 13 for length in code_lengths(symbols, 15)],
        [length or 8 for length in code_lengths(distances, 15)],
    )


class _Bits:
    """Collects bits, the first in the lowest place."""

    def __init__(self) -> None:
        self._value = 0
        self._count = 0
        self._data = bytearray()

    def add(self, value: int, count: int) -> None:
        """Append count bits."""
        self._value |= value << self._count
        self._count += count
        while self._count >= 8:
            self._data.append(self._value & 0xFF)
            self._value >>= 8
            self._count -= 8

    def getvalue(self) -> bytes:
        """Return whole bytes, the last filled with zeros."""
        return bytes(self._data) + bytes([self._value] if self._count else [])


def _emit(data: bytes, parse: Sequence[Match]) -> bytes:
    """Return one last block with codes of its own."""
    symbols, distances = _counts(data, parse)
    if not any(distances):
        distances[0] = 1
    widths, far_widths = code_lengths(symbols, 15), code_lengths(distances, 15)
    bits = _Bits()
    bits.add(0b101, 3)
    _emit_codes(bits, widths, far_widths)
    return _emit_body(bits, data, parse, widths, far_widths)


def _emit_fixed(data: bytes, parse: Sequence[Match]) -> bytes:
    """Return one last block with the fixed codes, for short data."""
    bits = _Bits()
    bits.add(0b011, 3)
    return _emit_body(bits, data, parse, FIXED, FIXED_DISTANCES)


def _emit_body(
    bits: _Bits,
    data: bytes,
    parse: Sequence[Match],
    widths: Sequence[int],
    far_widths: Sequence[int],
) -> bytes:
    """Write the literals and matches under two codes, and the end of the block."""
    words, far_words = codes(widths), codes(far_widths)
    at = 0
    for length, distance in parse:
        if not distance:
            bits.add(words[data[at]], widths[data[at]])
        else:
            near, far = _LENGTH_CLASS[length], _DISTANCE_CLASS[distance]
            bits.add(words[END + 1 + near], widths[END + 1 + near])
            bits.add(length - _LENGTHS[near][0], _LENGTHS[near][1])
            bits.add(far_words[far], far_widths[far])
            bits.add(distance - _DISTANCES[far][0], _DISTANCES[far][1])
        at += length
    bits.add(words[END], widths[END])
    return bits.getvalue()


def _emit_codes(bits: _Bits, widths: list[int], far_widths: list[int]) -> None:
    """Write the lengths of both codes, runs of them shortened."""
    near = _trimmed(widths, 257)
    far = _trimmed(far_widths, 1)
    tokens = _runs(near + far)
    counts = [0] * 19
    for symbol, _, _ in tokens:
        counts[symbol] += 1
    short = code_lengths(counts, 7)
    words = codes(short)
    ordered = _trimmed([short[i] for i in ORDER], 4)
    bits.add(len(near) - 257, 5)
    bits.add(len(far) - 1, 5)
    bits.add(len(ordered) - 4, 4)
    for width in ordered:
        bits.add(width, 3)
    for symbol, extra, size in tokens:
        bits.add(words[symbol], short[symbol])
        bits.add(extra, size)


def _trimmed(widths: list[int], least: int) -> list[int]:
    """Return widths without the zeros at their end, but at least so many."""
    last = max((i + 1 for i, width in enumerate(widths) if width), default=0)
    return widths[: max(last, least)]


def _runs(widths: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return (symbol, extra bits, their number) for code lengths and their runs."""
    tokens = []
    for width, group in groupby(widths):
        left = sum(1 for _ in group)
        if width:
            tokens.append((width, 0, 0))
            left -= 1
        while left:
            if not width and left >= 11:
                take = min(left, 138)
                tokens.append((18, take - 11, 7))
            elif not width and left >= 3:
                take = min(left, 10)
                tokens.append((17, take - 3, 3))
            elif width and left >= 3:
                take = min(left, 6)
                tokens.append((16, take - 3, 2))
            else:
                take = 1
                tokens.append((width, 0, 0))
            left -= take
    return tokens
