"""What several passes through a network say of one layer, put together."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from lilnetx_cli.graph.findings import Reader, Result

OBSTACLE = "layer that other sizes reach by another path"


def merged_readers(passes: Iterable[Sequence[Reader]]) -> tuple[Reader, ...]:
    """Join the readers of all passes; a constant folds only if all agree on it."""
    by_weight: dict[str, list[Reader]] = {}
    for reader in (reader for one in passes for reader in one):
        by_weight.setdefault(reader.key, []).append(reader)
    sums = by_weight.pop("", [])  # which have no weights, and fold nothing
    return (*(r for same in by_weight.values() for r in _agreed(same)), *sums)


def _agreed(readers: list[Reader]) -> list[Reader]:
    """Return one reader that folds, if all do so alike, or those that fold nothing."""
    first, *others = readers
    if not others:
        return readers
    alike = all(reader.foldable for reader in readers) and all(
        torch.equal(first.known, other.known) and torch.equal(first.value, other.value)
        for other in others
    )
    return [first] if alike else [_without_folds(reader) for reader in readers]


def _without_folds(reader: Reader) -> Reader:
    """Return a reader that needs all constants but zero."""
    if not reader.foldable:
        return reader
    needs = (reader.known & (reader.value != 0)).reshape(reader.groups, -1)  # (g, I/g)
    rows = len(reader.outputs) // reader.groups
    columns = needs.repeat_interleave(rows, 0)  # (O, I / g)
    return replace(reader, reads=reader.reads | columns, obstacle=OBSTACLE)


def merged_results(passes: Iterable[Sequence[Result]]) -> tuple[Result, ...]:
    """Join what layers give; known is what all passes agree on.

    A layer that one pass calls more than once is there as often, and so not joined.
    """
    ordered = [list(one) for one in passes]
    again = {
        name
        for one in ordered
        for name, calls in Counter(result.module for result in one).items()
        if calls > 1
    }
    merged: dict[str, Result] = {}
    several: list[Result] = []
    for result in (result for one in ordered for result in one):
        if result.module in again:
            several.append(result)
        elif result.module in merged:
            merged[result.module] = _both(merged[result.module], result)
        else:
            merged[result.module] = result
    return (*merged.values(), *several)


def _both(one: Result, other: Result) -> Result:
    known = one.known & other.known & (one.value == other.value)
    begins = one.begins & other.begins & known
    value = torch.where(known, one.value, 0.0)
    return replace(one, known=known, value=value, begins=begins)
