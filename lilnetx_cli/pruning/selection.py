"""Which channels stay: those that an output needs, and those that shapes need.

Legend: K classes of channels, class 0 what must stay.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lilnetx_cli.graph.channel_graph import ChannelGraph
from lilnetx_cli.graph.findings import Reader
from lilnetx_cli.graph.union_find import FIXED


@dataclass(frozen=True, eq=False)
class Selection:
    """What stays of a network.

    Attributes:
        graph: its channels.
        needed: classes that an output depends on, (K,).
        kept: these, and those that only shapes need, (K,).
        shapes: which shape needs each of the latter, a short phrase.
    """

    graph: ChannelGraph
    needed: Tensor
    kept: Tensor
    shapes: Mapping[int, str] = field(default_factory=dict)

    def stays(self, labels: Tensor) -> Tensor:
        """Tell which of some labels stay."""
        return self.kept[self.graph.roots[labels]]

    def is_needed(self, labels: Tensor) -> Tensor:
        """Tell which of some labels an output depends on."""
        return self.needed[self.graph.roots[labels]]


def select(graph: ChannelGraph, multiple: int = 1) -> Selection:
    """Decide what stays; channel counts become multiples where there are enough.

    Needed is what the outputs of the network are, and every input that a needed output
    of a layer reads: one whose weights are not all zero, and that is not a constant
    which adds nothing or goes into the bias. What is not needed may stay all the same:
    its readers take nothing from it.
    """
    needed = torch.zeros(len(graph.roots), dtype=torch.bool)
    needed[FIXED] = True
    while _spread(graph, needed):
        pass
    shapes: dict[int, str] = {}
    kept = needed.clone()
    while _even_out(graph, kept, multiple, shapes):
        pass
    return Selection(graph, needed, kept, shapes)


def _spread(graph: ChannelGraph, needed: Tensor) -> bool:
    """Add what needed outputs of layers read; tell whether that was anything."""
    before = int(needed.sum())
    for reader in reversed(graph.readers):
        inputs = read_inputs(reader, needed[graph.roots[reader.outputs]])
        needed[graph.roots[reader.inputs[inputs]]] = True
    return int(needed.sum()) > before


def read_inputs(reader: Reader, outputs: Tensor) -> Tensor:
    """Return the inputs that some outputs of a layer read; (O,) -> (I,)."""
    read = reader.reads & outputs[:, None]  # (O, I / g)
    if not read.numel():
        return torch.zeros(len(reader.inputs), dtype=torch.bool)
    return read.reshape(reader.groups, -1, read.shape[1]).any(1).reshape(-1)


def _even_out(
    graph: ChannelGraph, kept: Tensor, multiple: int, shapes: dict[int, str]
) -> bool:
    """Keep what shapes need beside; tell whether that was anything."""
    before = int(kept.sum())

    def keep(labels: Tensor, count: int, shape: str) -> None:
        for root in _first_missing(graph, kept, labels, count):
            kept[root] = True
            shapes[root] = shape

    for labels in graph.axes.values():
        keep(labels, min(len(labels), 1), "a layer keeps one channel")
        count = int(kept[graph.roots[labels]].sum())
        wanted = min(len(labels), -(-count // multiple) * multiple)
        keep(labels, wanted, f"rounding to a multiple of {multiple}")
    for parts, shape in _parts(graph, kept):
        counts = [int(kept[graph.roots[part]].sum()) for part in parts]
        for part in parts:
            keep(part, max(1, *counts), shape)
    return int(kept.sum()) > before


def _parts(
    graph: ChannelGraph, kept: Tensor
) -> Iterator[tuple[tuple[Tensor, ...], str]]:
    """Yield lists of labels of which the same number must stay, and what needs that."""
    for parts in graph.parts:
        yield parts, "equal parts of a split"
    for reader in graph.readers:
        groups = live_groups(reader, graph, kept)
        if reader.groups > 1:
            for labels in (reader.inputs, reader.outputs):
                rows = labels.reshape(reader.groups, -1)[groups]
                yield tuple(rows), "equal groups of a convolution"


def live_groups(reader: Reader, graph: ChannelGraph, kept: Tensor) -> Tensor:
    """Return the groups of a layer of which something stays; one always does."""
    alive = torch.zeros(reader.groups, dtype=torch.bool)
    for labels in (reader.inputs, reader.outputs):
        stays = kept[graph.roots[labels]]
        alive |= stays.reshape(reader.groups, -1).any(1)
    if not alive.any():
        alive[0] = True
    return alive.nonzero().flatten()


def _first_missing(
    graph: ChannelGraph, kept: Tensor, labels: Tensor, count: int
) -> Iterator[int]:
    """Yield classes of some labels that may go, the first ones, until `count` stay."""
    classes = graph.roots[labels]
    for root in classes.tolist():
        if int(kept[classes].sum()) >= count:
            return
        if not kept[root]:
            yield root
