"""Channel counts that are multiples: processors compute channels in blocks.

Legend: K classes of coupled channels, O rows of a layer.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from lilnetx_cli.nn.channel_prior import Channels


def round_kept(
    channels: Channels, alive: Tensor, norms: Tensor, multiple: int
) -> Tensor:
    """Return which classes live so that each layer gives a multiple; (K,) in and out.

    The count of a layer becomes the nearest multiple, the upper one of two as near, but
    at least one multiple, or all channels where it has fewer. The strongest by `norms`,
    (K,), live; a class with norm 0 has nothing to live by and is never added. Where
    the nearest cannot be had, it is the next one; where none can, the layer stays as it
    is. Layers that share channels, such as those that are added up, are rounded
    together: those with the fewest classes first, and what these decided holds for the
    others. Convolutions of several groups, which go as a whole, are left alone.
    """
    alive = alive.clone()
    decided = torch.zeros_like(alive)
    decided[0] = True
    for layer in channels.layers.values():
        if layer.grouped:
            decided[layer.rows] = True
    for rows in _distinct(channels):
        free = _free(rows, decided)
        for count in _counts(int(alive[rows].sum()), len(rows), multiple):
            found = _with_count(alive, rows, free, norms, count)
            if found is not None:
                alive = found
                break
        decided[rows] = True
    return alive


def _distinct(channels: Channels) -> Iterator[Tensor]:
    """Yield the rows of layers, (O,), those of the same classes once, few first."""
    seen: set[tuple[int, ...]] = set()
    layers = [layer for layer in channels.layers.values() if not layer.grouped]
    for layer in sorted(layers, key=lambda layer: len(set(layer.rows.tolist()))):
        classes = tuple(sorted(layer.rows.tolist()))
        if classes not in seen:
            seen.add(classes)
            yield layer.rows


def _free(rows: Tensor, decided: Tensor) -> Tensor:
    classes = torch.tensor(sorted(set(rows.tolist())), dtype=torch.long)
    return classes[~decided[classes]]


def _counts(count: int, most: int, multiple: int) -> Iterator[int]:
    """Yield the counts to try, the nearest multiple first."""
    below = count // multiple * multiple
    above = below if below == count else below + multiple
    order = (above, below) if above - count <= count - below else (below, above)
    least = min(multiple, most)
    for wanted in order:
        yield min(max(wanted, least), most)


def _with_count(
    alive: Tensor, rows: Tensor, free: Tensor, norms: Tensor, count: int
) -> Tensor | None:
    """Return who lives if `count` rows of a layer do; None where that cannot be."""
    now, alive = int(alive[rows].sum()), alive.clone()
    grows = count > now
    change = free[(alive[free] != grows) & ((norms[free] > 0) | (not grows))]
    order = norms[change].argsort(descending=grows, stable=True)
    for label in change[order].tolist():
        step = int((rows == label).sum())
        if step <= abs(count - now):
            alive[label] = grows
            now += step if grows else -step
    return alive if now == count else None
