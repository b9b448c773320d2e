"""Batch norms of a rounded network, measured again beside those of the dense one.

A few hundred inputs say little of a mean or a variance, but much of how far rounding
moved it, since the dense network sees the same inputs. So what is measured is the
change, and a network that was not changed keeps its statistics.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lilnetx_cli.calls import Call

Seen = list[tuple[Tensor, Tensor]]  # mean and variance of each call, (C,) float64


@dataclass(frozen=True, eq=False)
class NormStatistics:
    """What the batch norms of a dense network get as inputs.

    Attributes:
        calls: that the network is run on.
        seen: by the name of a norm, for each call, what it saw.
        known: by its name, running mean and variance of the dense network.
    """

    calls: tuple[Call, ...]
    seen: dict[str, list[Seen]] = field(default_factory=dict)
    known: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @contextmanager
    def moved(self, network: nn.Module, number: int) -> Iterator[dict[str, Seen]]:
        """Let a network's norms follow its own inputs while it runs one batch.

        Yields what they see. Statistics stay changed until `settle`.
        """
        found: dict[str, Seen] = {name: [] for name in self.seen}

        def follow(name: str, norm: _BatchNorm, inputs: Tensor) -> None:
            call = len(found[name])
            found[name].append(_statistics(inputs))
            dense = self.seen[name][number]
            if call < len(dense):
                self._set(name, norm, [found[name][call]], [dense[call]])

        handles = [
            norm.register_forward_pre_hook(
                lambda norm, args, named, name=name: follow(
                    name, norm, _input_of(args, named)
                ),
                with_kwargs=True,
            )
            for name, norm in _norms(network).items()
            if name in self.seen
        ]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def settle(self, network: nn.Module) -> None:
        """Make all calls, and give the norms the statistics of them together."""
        totals: dict[str, Seen] = {name: [] for name in self.seen}
        for number, call in enumerate(self.calls):
            with self.moved(network, number) as found:
                call.copied().on(network)
            for name, seen in found.items():
                totals[name] += seen
        for name, norm in _norms(network).items():
            dense = [one for batch in self.seen.get(name, []) for one in batch]
            if dense and len(dense) == len(totals[name]):
                self._set(name, norm, totals[name], dense)

    def _set(self, name: str, norm: _BatchNorm, now: Seen, dense: Seen) -> None:
        """Move the statistics of the dense network as far as its inputs moved."""
        mean, variance = self.known[name]
        new_mean, new_variance = _average(now)
        old_mean, old_variance = _average(dense)
        alive = old_variance > 0
        ratio = torch.where(alive, new_variance / old_variance.where(alive, 1.0), 1.0)
        if norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.copy_(new_mean + (mean - old_mean) * ratio.sqrt())
            norm.running_var.copy_(variance * ratio)


@torch.no_grad()
def norm_statistics(
    network: nn.Module, calls: Sequence[Call], *, on: bool
) -> NormStatistics:
    """Run a dense network; where not `on`, no norm will ever be changed."""
    norms = _norms(network) if on else {}
    made = NormStatistics(tuple(calls))
    for name, norm in norms.items():
        if norm.running_mean is not None and norm.running_var is not None:
            made.seen[name] = []
            made.known[name] = (norm.running_mean.clone(), norm.running_var.clone())
    for call in calls if made.seen else ():
        with _recorded(network, made):
            call.copied().on(network)
    return made


@contextmanager
def _recorded(network: nn.Module, made: NormStatistics) -> Iterator[None]:
    for seen in made.seen.values():
        seen.append([])
    handles = [
        norm.register_forward_pre_hook(
            lambda _, args, named, name=name: made.seen[name][-1].append(
                _statistics(_input_of(args, named))
            ),
            with_kwargs=True,
        )
        for name, norm in _norms(network).items()
        if name in made.seen
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _norms(network: nn.Module) -> dict[str, _BatchNorm]:
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    }


def _input_of(args: tuple[Any, ...], named: Mapping[str, Any]) -> Tensor:
    """Return what a norm was called with, `norm(x)` or `norm(input=x)`."""
    found: Tensor = args[0] if args else named["input"]
    return found


def _statistics(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel of (B, C, ...)."""
    flat = inputs.detach().double().transpose(0, 1).flatten(1)  # (C, B * places)
    return flat.mean(1), flat.var(1, unbiased=False)


def _average(seen: Seen) -> tuple[Tensor, Tensor]:
    means, variances = zip(*seen, strict=True)
    return torch.stack(means).mean(0), torch.stack(variances).mean(0)
