"""Second moments of what weights are multiplied with, on some inputs.

Legend: G groups, R outputs, K inputs of a row, n places.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx_cli.calls import Call
from lilnetx_cli.compression.uses import Part, Use, Watch, plain_operations

MOST_COLUMNS = 6144  # of a row; the moments of longer ones take too much memory

Moved = Callable[[int], AbstractContextManager[Any]]


@dataclass(frozen=True, eq=False)
class Moments:
    """Means over all places, (G, K, K) float32.

    Attributes:
        own: of y y^T, with y the inputs in the rounded network.
        cross: of x y^T, with x the inputs in the dense network.
    """

    own: Tensor
    cross: Tensor

    def finite(self) -> bool:
        """Tell whether there is neither NaN nor infinity."""
        return bool(self.own.isfinite().all() and self.cross.isfinite().all())


@dataclass(frozen=True)
class Order:
    """The weights that inputs meet, the first used first.

    Attributes:
        names: of the weights.
        repeated: whether one of them is used more than once in a pass.
    """

    names: tuple[str, ...]
    repeated: bool


class _EnoughError(Exception):
    """All weights of interest were used."""


class _Sums:
    def __init__(self) -> None:
        self.own: dict[Part, Tensor] = {}
        self.cross: dict[Part, Tensor] = {}
        self.places: dict[Part, int] = defaultdict(int)

    def add(self, dense: Use, rounded: Use) -> None:
        for pair in zip(dense.columns(), rounded.columns(), strict=True):
            x, y = (columns.float() for columns in pair)  # (G, K, n)
            own, cross = torch.bmm(y, y.mT), torch.bmm(x, y.mT)
            if rounded.part in self.own:
                self.own[rounded.part] += own
                self.cross[rounded.part] += cross
            else:
                self.own[rounded.part], self.cross[rounded.part] = own, cross
            self.places[rounded.part] += y.shape[2]

    def means(self) -> dict[Part, Moments]:
        """Return the moments of parts; those beyond the limit of floats are unknown."""
        found = {
            part: Moments(own / self.places[part], self.cross[part] / self.places[part])
            for part, own in self.own.items()
            if self.places[part]
        }
        return {part: known for part, known in found.items() if known.finite()}


def order_of_use(
    network: nn.Module, weights: Mapping[str, Tensor], call: Call
) -> Order:
    """Run a network once and see which of the weights are used, and when first."""
    seen: dict[str, int] = defaultdict(int)

    def take(use: Use) -> None:
        seen[use.part.name] += 1

    with plain_operations(network), Watch(weights, take):
        call.copied().on(network)
    return Order(tuple(seen), any(count > 1 for count in seen.values()))


def moments_of(
    dense: nn.Module,
    rounded: nn.Module,
    names: Sequence[str],
    calls: Sequence[Call],
    until: str | None = None,
    moved: Moved = lambda _: nullcontext(),
) -> dict[Part, Moments]:
    """Return the moments of some weights; both networks have them under these names.

    A pass ends before the weight `until` is used. The same network given twice runs
    once. The rounded network makes call number i within `moved(i)`.
    """
    sums = _Sums()
    for number, call in enumerate(calls):
        queue: dict[Part, list[Use]] = defaultdict(list)
        twice = rounded is not dense

        def keep(use: Use, queue: dict[Part, list[Use]] = queue) -> None:
            copied = Use(use.part, use.inputs.clone(), use.unfold)  # may change later
            queue[use.part].append(copied)

        def pair(use: Use, queue: dict[Part, list[Use]] = queue) -> None:
            if queue[use.part]:
                sums.add(queue[use.part].pop(0), use)

        if twice:
            _run(dense, names, call, until, keep)
            with moved(number):
                _run(rounded, names, call, until, pair)
        else:
            _run(dense, names, call, until, lambda use: sums.add(use, use))
    return sums.means()


def _run(
    network: nn.Module,
    names: Sequence[str],
    call: Call,
    until: str | None,
    take: Callable[[Use], None],
) -> None:
    state = network.state_dict(keep_vars=True)
    watched = {name: state[name] for name in (*names, *([until] if until else []))}

    def see(use: Use) -> None:
        if use.part.name == until:
            raise _EnoughError
        if use.unfold(use.inputs[:1]).shape[1] <= MOST_COLUMNS:
            take(use)

    try:
        with plain_operations(network), Watch(watched, see):
            call.copied().on(network)
    except _EnoughError:
        pass
