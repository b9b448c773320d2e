"""Which dead channels stay in a pruned network, and why, in words."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from lilnetx_cli.graph.findings import Result
from lilnetx_cli.graph.union_find import FIXED
from lilnetx_cli.pruning.selection import Selection, read_inputs

COUPLED = "coupled with channels in use"
MOST_LINES = 5
MOST_LAYERS = 3


@dataclass(frozen=True)
class Kept:
    """Channels of one layer that are dead or constant, and stay all the same.

    Attributes:
        layer: name of the module that gives them.
        channels: how many.
        reason: why they stay, a short phrase.
        partner: a layer that uses what they are coupled with; empty for other reasons.
    """

    layer: str
    channels: int
    reason: str
    partner: str = ""


def kept_channels(selection: Selection) -> tuple[Kept, ...]:
    """Return what stays though it is dead, layer by layer.

    Dead are channels that a layer makes constant, and those that no output needs. A
    channel that comes into a layer constant is named where it became so.
    """
    reasons = _Reasons(selection)
    found: Counter[tuple[str, str]] = Counter()
    partners: dict[tuple[str, str], str] = {}
    for name, calls in _by_module(selection).items():
        labels = calls[0].labels
        begins = torch.stack([call.begins for call in calls]).all(0)
        dead = begins | ~selection.is_needed(labels)
        for label in labels[dead & selection.stays(labels)].tolist():
            reason = reasons.of(label)
            found[name, reason] += 1
            if reason == COUPLED:
                partners.setdefault((name, reason), reasons.partner(label))
    return tuple(
        Kept(name, count, why, partners.get((name, why), ""))
        for (name, why), count in found.items()
    )


def _by_module(selection: Selection) -> dict[str, list[Result]]:
    """Return the calls of each layer, those of the same form."""
    calls: dict[str, list[Result]] = {}
    for result in selection.graph.results:
        before = calls.setdefault(result.module, [])
        if not before or len(before[0].labels) == len(result.labels):
            before.append(result)
    return calls


class _Reasons:
    """Why channels stay, by their labels."""

    def __init__(self, selection: Selection) -> None:
        self._selection, graph = selection, selection.graph
        roots = graph.roots.tolist()
        self._lost = {roots[label]: name for label, name in graph.lost.items()}
        self._partners: dict[int, str] = {}
        for result in graph.results:
            for root in graph.roots[result.labels[~result.known]].tolist():
                self._partners.setdefault(root, result.module)
        self._obstacles: dict[int, str] = {}
        for reader in graph.readers:
            inputs = read_inputs(reader, selection.is_needed(reader.outputs))
            for root in graph.roots[reader.inputs[inputs & reader.known]].tolist():
                self._obstacles.setdefault(root, reader.obstacle)

    def of(self, label: int) -> str:
        graph = self._selection.graph
        root = int(graph.roots[label])
        if root == FIXED:
            return graph.reasons[label]
        if root in self._selection.shapes:
            return self._selection.shapes[root]
        if root in self._obstacles:
            return f"constant that a {self._obstacles[root]} sees"
        if root in self._lost:
            name = self._lost[root]
            if name.startswith("conv"):  # one that keeps channels apart
                return "constant that a padded convolution sees"
            return f"not constant after {name}"
        return COUPLED

    def partner(self, label: int) -> str:
        """Return the first layer that gives no constant in the class of a label."""
        return self._partners.get(int(self._selection.graph.roots[label]), "")


def kept_lines(held: Sequence[Kept]) -> list[str]:
    """Say what stays, and why: a line a reason, the most channels first."""
    if not held:
        return []
    reasons: Counter[str] = Counter()
    for kept in held:
        reasons[kept.reason] += kept.channels
    total = sum(reasons.values())
    shown = reasons.most_common(MOST_LINES - 1)
    lines = [f"{_channels(total)} dead or constant, but kept:"]
    lines += [
        f"  {count:,}: {reason} ({', '.join(_layers(held, reason))})"
        for reason, count in shown
    ]
    more = total - sum(count for _, count in shown)
    return [*lines, f"  and {more:,} more"] if more else lines


def _channels(count: int) -> str:
    return f"{count:,} channel is" if count == 1 else f"{count:,} channels are"


def _layers(held: Sequence[Kept], reason: str) -> Iterator[str]:
    """Yield the layers with the most channels, and how many more there are."""
    of_reason = [kept for kept in held if kept.reason == reason]
    ordered = sorted(of_reason, key=lambda kept: -kept.channels)
    yield from (_layer(kept) for kept in ordered[:MOST_LAYERS])
    more = len(ordered) - MOST_LAYERS
    if more > 0:
        yield f"{more} more layer{'' if more == 1 else 's'}"


def _layer(kept: Kept) -> str:
    name = kept.layer or "the network"
    return f"{name} with {kept.partner}" if kept.partner else name
