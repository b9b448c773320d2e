"""Which channels stay: those that an output needs, and those that shapes need.

Legend: K classes of channels, class 0 what must stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lilnetx_cli.graph.channel_graph import ChannelGraph
from lilnetx_cli.graph.state import Reader
from lilnetx_cli.graph.union_find import FIXED


@dataclass(frozen=True, eq=False)
class Selection:
    """What stays of a network.

    Attributes:
        graph: its channels.
        needed: classes that an output depends on, (K,).
        kept: these, and those that only shapes need, (K,).
    """

    graph: ChannelGraph
    needed: Tensor
    kept: Tensor

    def stays(self, labels: Tensor) -> Tensor:
        """Tell which of some labels stay."""
        return self.kept[self.graph.roots[labels]]

    def is_needed(self, labels: Tensor) -> Tensor:
        """Tell which of some labels an output depends on."""
        return self.needed[self.graph.roots[labels]]


def select(graph: ChannelGraph, multiple: int = 1) -> Selection:
    """Decide what stays; channel counts become multiples where there are enough.

    Needed is what the outputs of the network are, and every input that a needed output
    of a layer reads: one whose weights are not all zero, and that is no constant which
    adds nothing or goes into the bias. What is not needed may stay all the same, its
    readers take nothing from it.
    """
    needed = torch.zeros(len(graph.roots), dtype=torch.bool)
    needed[FIXED] = True
    while _spread(graph, needed):
        pass
    kept = needed.clone()
    while _even_out(graph, kept, multiple):
        pass
    return Selection(graph, needed, kept)


def _spread(graph: ChannelGraph, needed: Tensor) -> bool:
    """Add what needed outputs of layers read; tell whether that was anything."""
    before = int(needed.sum())
    for reader in reversed(graph.readers):
        alive = needed[graph.roots[reader.outputs]]  # (O,)
        read = reader.reads & alive[:, None]  # (O, I / g)
        if not read.numel():
            continue
        width = read.shape[1]
        inputs = read.reshape(reader.groups, -1, width).any(1).reshape(-1)  # (I,)
        needed[graph.roots[reader.inputs[inputs]]] = True
    return int(needed.sum()) > before


def _even_out(graph: ChannelGraph, kept: Tensor, multiple: int) -> bool:
    """Keep what shapes need beside; tell whether that was anything."""
    before = int(kept.sum())
    for labels in graph.axes.values():
        count = int(kept[graph.roots[labels]].sum())
        wanted = max(1, -(-count // multiple) * multiple)
        _keep(graph, kept, labels, min(len(labels), wanted))
    for parts in _parts(graph, kept):
        counts = [int(kept[graph.roots[part]].sum()) for part in parts]
        for part in parts:
            _keep(graph, kept, part, max(1, *counts))
    return int(kept.sum()) > before


def _parts(graph: ChannelGraph, kept: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield lists of labels of which equally many must stay."""
    yield from graph.parts
    for reader in graph.readers:
        groups = live_groups(reader, graph, kept)
        if reader.groups > 1:
            for labels in (reader.inputs, reader.outputs):
                rows = labels.reshape(reader.groups, -1)[groups]
                yield tuple(rows)


def live_groups(reader: Reader, graph: ChannelGraph, kept: Tensor) -> Tensor:
    """Return the groups of a layer of which something stays; one always does."""
    alive = torch.zeros(reader.groups, dtype=torch.bool)
    for labels in (reader.inputs, reader.outputs):
        stays = kept[graph.roots[labels]]
        alive |= stays.reshape(reader.groups, -1).any(1)
    if not alive.any():
        alive[0] = True
    return alive.nonzero().flatten()


def _keep(graph: ChannelGraph, kept: Tensor, labels: Tensor, count: int) -> None:
    """Keep more of some channels, the first ones, until there are so many."""
    classes = graph.roots[labels]
    for root in classes.tolist():
        if int(kept[classes].sum()) >= count:
            return
        kept[root] = True
