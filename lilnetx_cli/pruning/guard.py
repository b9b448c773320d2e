"""Runs a pruned network only where it was shown to give the same as the dense one.

Which channels are dead was found on certain paths through the network. At a size that
is new, or with another flag, forward may take another one, or compute with another
number.
"""

from collections.abc import (
    Callable,
    Collection,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing
from torch.utils._python_dispatch import _disable_current_modes

from lilnetx_cli.graph.channel_graph import ChannelGraph
from lilnetx_cli.graph.paths import Path, Step, in_common, same_calls
from lilnetx_cli.graph.recorder import Recorder, form_of, shapes_of
from lilnetx_cli.graph.tracing import WHOLE, GraphError
from lilnetx_cli.pruning.cases import Case, cloned, fresh

Shapes = tuple[tuple[int, ...], ...]


class SizeGuard:
    """A hook of a pruned network: raises GraphError for inputs that it is not made for.

    Inputs pass whose sizes, flags and numbers it was compared with. Others are tried
    once, by a copy of the network whose path is watched. The hook goes with copies of
    the network, is not part of its state dict, and leaves nothing in what torch.export
    makes of it. A network in training mode, or compiled, is not watched.

    Args:
        paths: that forward may take, numbers that depend on sizes left open; each with
            the numbers of dimensions of what goes in.
        known: forms of what goes in, that need no watching.
        hooks: ids of hooks that belong to the network. Those that are added later are
            taken for observers: the copy runs without them.
    """

    hooks: frozenset[int] = frozenset()  # of networks that were pickled without

    def __init__(
        self,
        paths: Sequence[tuple[tuple[int, ...], Path]],
        known: Iterable[Hashable],
        hooks: Iterable[int] = (),
    ) -> None:
        self.paths = tuple(paths)
        self.known = set(known)
        self.hooks = frozenset(hooks)

    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> None:  # noqa: ANN401
        """Look at what goes into a module, before it runs."""
        if module.training or torch.compiler.is_dynamo_compiling():
            return
        shapes, form = shapes_of((args, kwargs)), form_of(args, kwargs)
        if any(type(size) is not int for shape in shapes for size in shape):
            form = None  # torch.export may leave sizes open
        if form is not None and form in self.known:
            return
        ranks = tuple(map(len, shapes))
        paths = [path for known, path in self.paths if known == ranks]
        with _unseen():
            runs = _Watch(shapes, paths).run(_bare(module, self.hooks), args, kwargs)
        if runs and form is not None:
            self.known.add(form)


@contextmanager
def _unseen() -> Iterator[None]:
    """Hide what runs from gradients, from torch.export, and from what counts MACs."""
    if torch.compiler.is_compiling():
        with disable_proxy_modes_tracing():
            yield
    else:
        with torch.no_grad(), _disable_current_modes():
            yield


def _bare(module: nn.Module, kept: Collection[int]) -> nn.Module:
    twin = fresh(module)
    for hooks in _forward_hooks(twin):
        for key, hook in list(hooks.items()):
            if key not in kept or isinstance(hook, SizeGuard):
                del hooks[key]
    return twin


def _forward_hooks(module: nn.Module) -> Iterator[dict[int, Callable[..., Any]]]:
    for part in module.modules():
        yield part._forward_hooks
        yield part._forward_pre_hooks


class _Watch:
    """One run, step by step."""

    def __init__(self, shapes: Shapes, paths: list[Path]) -> None:
        self._shapes, self._paths = shapes, paths
        self._place = 0

    def run(self, module: nn.Module, args: Any, kwargs: Any) -> bool:  # noqa: ANN401
        """Tell whether a module runs; raises GraphError if it leaves the paths."""
        recorder = Recorder(module, self._visit)
        args, kwargs = cloned((args, kwargs))
        recorder.start(args, kwargs)
        try:
            module(*args, **kwargs)
        except GraphError:
            raise
        except Exception:  # any: the forward is the user's, and will say so again
            return False
        finally:
            recorder.stop()
        if all(len(path) != self._place for path in self._paths):
            self._refuse(WHOLE)
        return True

    def _visit(self, step: Step) -> None:
        self._paths = [
            path
            for path in self._paths
            if self._place < len(path) and path[self._place].allows(step)
        ]
        self._place += 1
        if not self._paths:
            self._refuse(step.where or WHOLE)

    def _refuse(self, where: str) -> None:
        sizes = " and ".join(" x ".join(map(str, shape)) for shape in self._shapes)
        raise GraphError(
            f"the network was not pruned for inputs of {sizes}: it takes a different"
            f" path there, first at {where!r}; prune it with an example like that,"
            " or use the dense one"
        )


def guard(
    model: nn.Module,
    groups: Sequence[Sequence[Case]],
    equal: Mapping[Case, Path],
    graph: ChannelGraph,
) -> None:
    """Let a pruned network run only where it gives what the dense one does.

    `equal` are the cases for which it was found to do so, and its paths there; `graph`
    is that of the dense one.
    """
    paths: list[tuple[tuple[int, ...], Path]] = []
    for group in groups:
        smaller = [equal[case] for case in group if case in equal]
        path = _open_path([case.path for case in group], smaller, graph.parted)
        if path is not None:
            paths.append((group[0].ranks, path))
    known = [form_of(case.inputs, {}) for case in equal]
    hooks = [key for own in _forward_hooks(model) for key in own]
    model.register_forward_pre_hook(SizeGuard(paths, known, hooks), with_kwargs=True)


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
