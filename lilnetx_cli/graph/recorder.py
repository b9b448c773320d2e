"""Records the path that a forward takes, by torch's own hooks into its functions."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from lilnetx_cli.graph.origins import Origins, described, tensors_of
from lilnetx_cli.graph.paths import Path, Step
from lilnetx_cli.nn.constant import Constant

Listener = Callable[[str, Any], None]  # hears the name of a layer and what it gives
# What they give may be the tensor itself, as its memory happens to lie.
PASS_ON = frozenset(("contiguous", "to", "float", "double", "half", "bfloat16"))
PLAIN = (int, float, str, type(None))
# Texts may tell sizes; gradients may be on or off.
SILENT = frozenset(("_assert", "_set_grad_enabled", "_enter_inference_mode"))


def no_one(*_: Any) -> None:  # noqa: ANN401
    """Listen to nothing."""


class Recorder(TorchFunctionMode):
    """Follows forward from start to stop.

    `visit` gets each step before it counts, `listen` what each layer gives.

    Attributes:
        steps: how many there were.
        kept: the tensors that steps named in `keep` gave.
    """

    def __init__(
        self,
        model: nn.Module,
        visit: Callable[[Step], None],
        *,
        listen: Listener = no_one,
        keep: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__()
        self.steps = 0
        self.kept: list[Tensor] = []
        self._model, self._visit = model, visit
        self._listen, self._keep = listen, keep
        self._handles: list[Any] = []
        self._where = [""]
        self._layers: list[tuple[int, bool]] = []  # layers that run: their steps
        self._origins = Origins(model)
        self._makers: set[int] = set()

    def start(self, *inputs: Any) -> None:  # noqa: ANN401
        """Begin; what `inputs` holds, in whatever containers, is given."""
        for number, tensor in enumerate(tensors_of(inputs)):
            self._origins.note(tensor, f"input {number}", fed=True)
        for name, module in self._model.named_modules():
            if name:
                self._follow(name, module)
        self.__enter__()  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """End."""
        self.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def dead_ends(self, output: Any) -> frozenset[int]:  # noqa: ANN401
        """Return the steps that gave tensors of which nothing came."""
        for tensor in tensors_of(output):
            self._origins.of(tensor)
        return frozenset(self._makers - self._origins.read)

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        del types
        kwargs = kwargs or {}
        name = getattr(func, "__name__", type(func).__name__)
        if self._layers or name in SILENT:
            return func(*args, **kwargs)
        if name == "__get__":  # a property
            output = func(*args, **kwargs)
            if isinstance(output, Tensor):
                name = getattr(getattr(func, "__self__", None), "__name__", name)
                self._made(output, *self._count(self._described(name, args)))
            return output
        step = self._described(name, (args, dict(kwargs)))
        try:
            output = func(*args, **kwargs)
        except Exception:
            self._visit(step)  # this is why, if it is none of the path
            raise
        if name in PASS_ON and self._passed_on(args[0], output):
            return output
        if output is None or any(True for _ in tensors_of(output)):
            self._made(output, *self._count(step))
        return output

    def _follow(self, name: str, module: nn.Module) -> None:
        layer = not any(True for _ in module.children()) and (
            type(module).__module__.startswith("torch.nn.modules")
            or isinstance(module, Constant)
        )

        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:  # noqa: ANN401
            self._where.append(name)
            if layer:
                step = self._described("", (args, kwargs))
                step = replace(step, settings=_settings(module))
                self._layers.append(self._count(step))

        def leave(module: nn.Module, args: Any, output: Any) -> None:  # noqa: ANN401
            del module, args
            self._where.pop()
            if layer and self._layers:  # else it was stopped as it began
                self._listen(name, output)
                self._made(output, *self._layers.pop())

        # Hooks of the user's own are not part of the layer.
        before = module.register_forward_pre_hook(enter, with_kwargs=True)
        after = module.register_forward_hook(leave, prepend=True, always_call=True)
        self._handles += [before, after]

    def _count(self, step: Step) -> tuple[int, bool]:
        self._visit(step)
        self.steps += 1
        return self.steps - 1, step.fed

    def _described(self, name: str, given: Any) -> Step:  # noqa: ANN401
        return described(self._where[-1], name, given, self._origins)

    def _passed_on(self, given: Any, output: Any) -> bool:  # noqa: ANN401
        both = isinstance(given, Tensor) and isinstance(output, Tensor)
        if not both or given.is_floating_point() != output.is_floating_point():
            return False
        origin, fed = self._origins.of(given)
        self._origins.note(output, origin, fed=fed)
        return True

    def _made(self, output: Any, step: int, fed: bool) -> None:  # noqa: ANN401
        for place, tensor in enumerate(tensors_of(output)):
            if self._origins.note(tensor, (step, place), fed=fed):
                self._makers.add(step)
            if step in self._keep:
                self.kept.append(tensor)


def _settings(layer: nn.Module) -> dict[str, Any]:
    """Return what a layer computes with beside tensors: forward may change it."""
    return {
        name: value
        for name, value in sorted(vars(layer).items())
        if not name.startswith("_") and name != "training" and _is_plain(value)
    }


def _is_plain(value: Any) -> bool:  # noqa: ANN401
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)


def path_of(
    model: nn.Module,
    inputs: tuple[Any, ...],
    listen: Listener = no_one,
) -> tuple[Any, Path, frozenset[int]]:
    """Run a network; return what it gives, its path and the dead ends of that."""
    steps: list[Step] = []
    recorder = Recorder(model, steps.append, listen=listen)
    recorder.start(inputs)
    try:
        output = model(*inputs)
    finally:
        recorder.stop()
    return output, tuple(steps), recorder.dead_ends(output)


@contextmanager
def returning(model: nn.Module, dead_ends: frozenset[int]) -> Iterator[list[Tensor]]:
    """Let a network give, behind its output, the tensors of dead ends.

    They are in the list, too, when it has run.
    """
    more: list[Tensor] = []
    if not dead_ends:
        yield more
        return
    running: list[Recorder] = []

    def start(module: nn.Module, args: Any, kwargs: Any) -> None:  # noqa: ANN401
        running.append(Recorder(module, lambda _: None, keep=dead_ends))
        running[-1].start(args, kwargs)

    def stop(module: nn.Module, args: Any, output: Any) -> Any:  # noqa: ANN401
        del module, args
        recorder = running.pop()
        recorder.stop()
        more[:] = recorder.kept
        return output, tuple(more)

    handles = [
        model.register_forward_pre_hook(start, with_kwargs=True),
        model.register_forward_hook(stop, always_call=True),
    ]
    try:
        yield more
    finally:
        for handle in handles:
            handle.remove()
        for recorder in running:  # was interrupted
            recorder.stop()


def form_of(args: Any, kwargs: Any) -> Hashable | None:  # noqa: ANN401
    """Return what a network is called with, less what is in its tensors.

    None where there is more than tensors, numbers and texts.
    """
    leaves, form = pytree.tree_flatten((args, dict(kwargs)))
    if not all(isinstance(leaf, (Tensor, *PLAIN)) for leaf in leaves):
        return None
    return str(form), tuple(
        tuple(leaf.shape) if isinstance(leaf, Tensor) else (type(leaf), leaf)
        for leaf in leaves
    )


def shapes_of(value: Any) -> tuple[tuple[int, ...], ...]:  # noqa: ANN401
    """Return the shapes of all tensors, in whatever containers they are."""
    return tuple(tuple(x.shape) for x in tensors_of(value))
