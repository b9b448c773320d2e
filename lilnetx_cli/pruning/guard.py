"""Runs a pruned network only where it was shown to give the same as the dense one.

Which channels are dead was found on certain paths through the network. At a size that
is new, forward may take another one, or compute with another number: then it stops.
"""

import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from lilnetx_cli.graph.channel_graph import ChannelGraph
from lilnetx_cli.graph.paths import (
    Path,
    Recorder,
    Step,
    in_common,
    same_calls,
    shapes_of,
)
from lilnetx_cli.graph.tracing import WHOLE, GraphError
from lilnetx_cli.pruning.cases import Case, run
from lilnetx_cli.pruning.equivalence import distance, outputs_of

Shapes = tuple[tuple[int, ...], ...]


class SizeGuard:
    """Hooks of a pruned network: sizes it was compared at pass, others are watched.

    It goes with copies of the network, is no part of its state dict, and leaves nothing
    in what is exported. A network in training mode, or compiled, is not watched.

    Args:
        paths: that forward may take, numbers that depend on sizes left open; each with
            the numbers of dimensions of what goes in.
        shapes: of what goes in, that need no watching.
    """

    def __init__(
        self, paths: Sequence[tuple[tuple[int, ...], Path]], shapes: Iterable[Shapes]
    ) -> None:
        self.paths = tuple(paths)
        self.shapes = set(shapes)
        self._running: dict[int, _Watch] = {}

    def attach(self, model: nn.Module) -> None:
        """Watch a network from now on."""
        model.register_forward_pre_hook(self.before, with_kwargs=True)
        model.register_forward_hook(self.after, with_kwargs=False, always_call=True)

    def before(self, module: nn.Module, args: Any, kwargs: Any) -> None:  # noqa: ANN401
        """Look at what goes in; raises GraphError for a form that was never tried."""
        if module.training or torch.compiler.is_dynamo_compiling():
            return
        shapes = shapes_of((args, kwargs))
        if _is_plain(shapes) and shapes in self.shapes:
            return
        ranks = tuple(map(len, shapes))
        paths = [path for known, path in self.paths if known == ranks]
        watch = _Watch(module, paths, shapes)
        watch.recorder.start(args, kwargs)
        self._running[threading.get_ident()] = watch

    def after(self, module: nn.Module, args: Any, output: Any) -> None:  # noqa: ANN401
        """Let go; raises GraphError where forward ended too early."""
        del module, args
        watch = self._running.pop(threading.get_ident(), None)
        if watch is None:
            return
        watch.recorder.stop()
        if output is None:  # it has failed, and says why
            return
        watch.end()
        if _is_plain(watch.shapes):
            self.shapes.add(watch.shapes)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what runs at the moment."""
        return {**vars(self), "_running": {}}


class _Watch:
    """One run, step by step."""

    def __init__(self, module: nn.Module, paths: list[Path], shapes: Shapes) -> None:
        self.shapes = shapes
        self.recorder = Recorder(module, self._visit)
        self._paths = paths

    def _visit(self, step: Step) -> None:
        place = self.recorder.steps
        self._paths = [
            path
            for path in self._paths
            if place < len(path) and path[place].allows(step)
        ]
        if not self._paths:
            self._refuse(step.where or WHOLE)

    def end(self) -> None:
        """Raise GraphError unless a path is complete."""
        if all(len(path) != self.recorder.steps for path in self._paths):
            self._refuse(WHOLE)

    def _refuse(self, where: str) -> None:
        sizes = " and ".join(" x ".join(map(str, shape)) for shape in self.shapes)
        raise GraphError(
            f"the network was not pruned for an input of {sizes}: it computes otherwise"
            f" there, first at {where!r}; prune it with an example of that size, or use"
            " the dense one"
        )


def _is_plain(shapes: Shapes) -> bool:
    """Tell whether all sizes are numbers: torch.export may leave some open."""
    return all(type(size) is int for shape in shapes for size in shape)


@torch.no_grad()
def guard(
    model: nn.Module,
    groups: Sequence[Sequence[Case]],
    equal: Collection[Case],
    graph: ChannelGraph,
) -> float:
    """Let a pruned network run only where it gives what the dense one does.

    Of the cases of each group it was compared on some. `graph` is of the dense one.
    Returns the largest difference of outputs on these cases.
    """
    paths: list[tuple[tuple[int, ...], Path]] = []
    shapes: list[Shapes] = []
    largest = 0.0
    for group in groups:
        runs = [(case, run(model, case.inputs)) for case in group if case in equal]
        done = [(case, found) for case, found in runs if found is not None]
        for case, found in done:
            both = zip(outputs_of(case.output), outputs_of(found.output), strict=True)
            largest = max(largest, *(distance(*pair) for pair in both), 0.0)
            shapes.append(shapes_of(case.inputs))
        dense, smaller = ([c.path for c in group], [found.path for _, found in done])
        path = _open_path(dense, smaller, graph.parted)
        if path is not None:
            paths.append((group[0].ranks, path))
    SizeGuard(paths, shapes).attach(model)
    return largest


def _open_path(
    dense: Sequence[Path],
    smaller: Sequence[Path],
    parted: Collection[tuple[str, tuple[int, ...]]],
) -> Path | None:
    """Return a path of the smaller network, open where that of the dense one is.

    None if the two do not call the same: then none but the compared sizes are known.
    """
    common = in_common(dense)
    if not smaller or not all(same_calls(common, path) for path in smaller):
        return None
    opened = tuple(
        step.opened() if _is_open(first, parted) else step.opened(wide.numbers)
        for step, first, wide in zip(smaller[0], dense[0], common, strict=True)
    )
    alike = all(all(map(Step.allows, opened, path)) for path in smaller)
    return opened if alike else None


def _is_open(step: Step, parted: Collection[tuple[str, tuple[int, ...]]]) -> bool:
    """Tell whether any numbers may come: they say a size, and none of channels."""
    return step.only_resizes() and not any(
        step.where == module
        and len(step.numbers) == len(shape)
        and all(n in (-1, size) for n, size in zip(step.numbers, shape, strict=True))
        for module, shape in parted
    )
