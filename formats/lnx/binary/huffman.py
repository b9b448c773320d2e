"""Prefix codes of limited length, as DEFLATE wants them (RFC 1951, section 3.2)."""

from collections.abc import Sequence


def code_lengths(counts: Sequence[int], limit: int) -> list[int]:
    """Return the optimal code length of each symbol, at most limit; 0 if unused.

    Package-merge: of `limit` rounds of pairing, the cheapest packages of the last tell
    how often each symbol is counted, which is its length. Ties go to the lower symbol,
    so equal counts give equal codes everywhere.
    """
    used = sorted((count, i) for i, count in enumerate(counts) if count)
    lengths = [0] * len(counts)
    if len(used) < 2:
        for _, i in used:
            lengths[i] = 1
        return lengths
    leaves = [(count, (i,)) for count, i in used]
    packages: list[tuple[int, tuple[int, ...]]] = []
    for _ in range(limit):
        merged = sorted(leaves + packages, key=_weight)
        packages = [
            (one[0] + two[0], one[1] + two[1])
            for one, two in zip(merged[::2], merged[1::2], strict=False)
        ]
    for _, symbols in packages[: len(used) - 1]:
        for i in symbols:
            lengths[i] += 1
    return lengths


def _weight(package: tuple[int, tuple[int, ...]]) -> int:
    return package[0]


def codes(lengths: Sequence[int]) -> list[int]:
    """Return the canonical code of each symbol, its bits turned around for writing."""
    code = 0
    found = [0] * len(lengths)
    for length in range(1, max(lengths, default=0) + 1):
        for i, mine in enumerate(lengths):
            if mine == length:
                found[i] = int(f"{code:0{length}b}"[::-1], 2)
                code += 1
        code <<= 1
    return found
