"""The ways that a network takes through its layers, tried and traced."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from lilnetx_cli.graph.paths import in_common, modules_told_sizes, same_calls
from lilnetx_cli.graph.tracing import GraphError, Traced, together, trace
from lilnetx_cli.pruning.cases import Case, cases, fresh


@dataclass(frozen=True, eq=False)
class Tried:
    """The cases that were traced.

    Attributes:
        groups: cases of equal ranks and equal calls, with whatever numbers; that of the
            example comes first.
        passes: cases that take all paths there are, and the network as it runs on them.
        sized: modules that compute with the sizes of inputs.
    """

    groups: tuple[tuple[Case, ...], ...]
    passes: tuple[tuple[Case, Traced], ...]
    sized: frozenset[str]

    @property
    def traced(self) -> Traced:
        """All passes, one after another."""
        return together([one for _, one in self.passes], self.sized)

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases, the example first."""
        return tuple(case for group in self.groups for case in group)


def try_out(model: nn.Module, inputs: tuple[Any, ...]) -> Tried:
    """Run a network on the example and on what else it takes, and trace it there.

    Raises GraphError if it does not run on the example, or cannot be traced there;
    other cases that cannot be traced are left out.
    """
    passes: list[tuple[Case, Traced]] = []
    kept: list[tuple[Case, ...]] = []
    for group in _grouped(cases(model, inputs)):
        first = group[0]
        if not any(same_calls(first.path, case.path) for case, _ in passes):
            try:
                traced = trace(fresh(model), first.inputs, first.dead_ends)
            except GraphError:
                if not kept:
                    raise
                continue
            passes.append((first, traced))
        kept.append(tuple(group))
    told = [modules_told_sizes(in_common([c.path for c in group])) for group in kept]
    return Tried(tuple(kept), tuple(passes), frozenset().union(*told))


def _grouped(tried: Iterable[Case]) -> list[list[Case]]:
    groups: list[list[Case]] = []
    for case in tried:
        for group in groups:
            first = group[0]
            if case.ranks == first.ranks and same_calls(case.path, first.path):
                group.append(case)
                break
        else:
            groups.append([case])
    return groups
