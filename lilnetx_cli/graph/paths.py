"""The path that a forward takes: which functions and layers it calls, and on what.

Two inputs of different sizes take one path if the calls are the same, on the same
tensors; the numbers that are passed may differ, and then depend on sizes.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from lilnetx_cli.graph.names import first_names
from lilnetx_cli.nn.constant import Constant

Number = Real | str | None
Listener = Callable[[str, Any], None]  # hears the name of a layer and what it gives
Origin = str | tuple[int, int]  # a name, or a step and which of its results
GIVEN = "given"  # a tensor that is neither a parameter nor made on the path
SYMBOLS = (torch.SymInt, torch.SymFloat, torch.SymBool)
# What these are given says how large the result is, not what is in it; of a table of
# numbers, though, it may say which of them.
RESIZE = frozenset((
    "view", "reshape", "flatten", "unflatten", "expand", "repeat",
    "interpolate", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d",
))  # fmt: skip
FILL = frozenset((
    "zeros", "ones", "empty", "rand", "randn", "new_zeros", "new_ones", "new_empty",
))  # fmt: skip
# What they give may be the tensor itself, as its memory happens to lie.
PASS_ON = frozenset(("contiguous", "to", "float", "double", "half", "bfloat16"))
# Texts may tell sizes; gradients may be on or off.
SILENT = frozenset(("_assert", "_set_grad_enabled", "_enter_inference_mode"))
LIMITS = frozenset(
    number
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    for info in (torch.finfo(kind),)
    for number in (info.min, info.max, info.eps, info.tiny)
)


def no_one(*_: Any) -> None:  # noqa: ANN401
    """Listen to nothing."""


@dataclass(frozen=True)
class Step:
    """One call.

    Attributes:
        where: the module whose forward calls; of a layer its own name.
        name: of a function of torch, or "" for a layer.
        form: the arguments: where tensors come from, "#" for each number.
        numbers: these, in order; None is any number.
        fed: whether one of the tensors depends on the inputs.
    """

    where: str
    name: str
    form: Any
    numbers: tuple[Number, ...]
    fed: bool

    def only_resizes(self) -> bool:
        """Tell whether the numbers say how large the result is, not what is in it."""
        return self.name in FILL or (self.fed and self.name in RESIZE)

    def same_call(self, other: "Step") -> bool:
        """Tell whether another step is this call, with whatever numbers."""
        mine, yours = (self.where, self.name), (other.where, other.name)
        return mine == yours and self.form == other.form

    def allows(self, other: "Step") -> bool:
        """Tell whether another step is this call with numbers that are allowed."""
        return self.same_call(other) and all(
            mine is None or mine == yours
            for mine, yours in zip(self.numbers, other.numbers, strict=True)
        )

    def opened(self, numbers: Sequence[Number] | None = None) -> "Step":
        """Return this call with any numbers, or where others are None alone."""
        if numbers is None:
            return replace(self, numbers=(None,) * len(self.numbers))
        both = zip(self.numbers, numbers, strict=True)
        return replace(self, numbers=tuple(n if x is not None else x for n, x in both))

    def agreed(self, other: "Step") -> tuple[Number, ...]:
        """Return the numbers that are those of another step, None for the others."""
        both = zip(self.numbers, other.numbers, strict=True)
        return tuple(mine if mine == yours else None for mine, yours in both)


Path = tuple[Step, ...]


def same_calls(one: Path, other: Path) -> bool:
    """Tell whether two paths are the same calls, with whatever numbers."""
    return len(one) == len(other) and all(map(Step.same_call, one, other))


def in_common(paths: Sequence[Path]) -> Path:
    """Return the path of the same calls, with None for numbers that differ."""
    first, *others = paths
    opened = list(first)
    for path in others:
        pairs = zip(opened, path, strict=True)
        opened = [step.opened(other.agreed(step)) for step, other in pairs]
    return tuple(opened)


def modules_told_sizes(path: Path) -> frozenset[str]:
    """Return the modules in which a number that differs may enter into values."""
    told = (step for step in path if None in step.numbers and not step.only_resizes())
    return frozenset(step.where for step in told)


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
        self._origins: dict[int, tuple[weakref.ref[Tensor], Origin, bool]] = {}
        self._names: Mapping[int, str] = {}
        self._makers: set[int] = set()
        self._read: set[int] = set()

    def start(self, *inputs: Any) -> None:  # noqa: ANN401
        """Begin; what `inputs` holds, in whatever containers, is given."""
        self._names = first_names(self._model)
        for number, tensor in enumerate(_tensors(inputs)):
            self._register(tensor, f"input {number}", fed=True)
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
        for tensor in _tensors(output):
            self._origin(tensor)
        return frozenset(self._makers - self._read)

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
        if output is None or any(True for _ in _tensors(output)):
            self._made(output, *self._count(step))
        return output

    def _follow(self, name: str, module: nn.Module) -> None:
        layer = not any(True for _ in module.children()) and (
            type(module).__module__.startswith("torch.nn.modules")
            or isinstance(module, Constant)
        )

        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:  # noqa: ANN401
            del module
            self._where.append(name)
            if layer:
                self._layers.append(self._count(self._described("", (args, kwargs))))

        def leave(module: nn.Module, args: Any, output: Any) -> None:  # noqa: ANN401
            del module, args
            self._where.pop()
            if layer and self._layers:  # else it was stopped as it began
                self._listen(name, output)
                self._made(output, *self._layers.pop())

        # Hooks of the user's own are no part of the layer.
        before = module.register_forward_pre_hook(enter, with_kwargs=True)
        after = module.register_forward_hook(leave, prepend=True, always_call=True)
        self._handles += [before, after]

    def _count(self, step: Step) -> tuple[int, bool]:
        self._visit(step)
        self.steps += 1
        return self.steps - 1, step.fed

    def _described(self, name: str, given: Any) -> Step:  # noqa: ANN401
        numbers: list[Number] = []
        fed: list[bool] = []
        form = self._form(given, numbers, fed)
        return Step(self._where[-1], name, form, tuple(numbers), any(fed))

    def _form(
        self,
        value: Any,  # noqa: ANN401
        numbers: list[Number],
        fed: list[bool],
    ) -> Any:  # noqa: ANN401
        if isinstance(value, Tensor):
            origin, depends = self._origin(value)
            fed.append(depends)
            return origin
        plain = isinstance(value, str | bool) or value is None
        if isinstance(value, (Real, *SYMBOLS)) and not plain:
            numbers.append(_number(value))
            return "#"
        parts: list[Any] = []
        if isinstance(value, slice):
            parts = [value.start, value.stop, value.step]
        elif isinstance(value, Mapping):
            parts = [part for item in value.items() for part in item]
        elif isinstance(value, list | tuple):
            parts = list(value)
        else:
            return repr(value) if plain else type(value).__name__
        return tuple(self._form(part, numbers, fed) for part in parts)

    def _origin(self, tensor: Tensor) -> tuple[Origin, bool]:
        entry = self._origins.get(id(tensor))
        if entry is None or entry[0]() is not tensor:
            return self._names.get(id(tensor), GIVEN), False
        _, origin, fed = entry
        if isinstance(origin, tuple):
            self._read.add(origin[0])
        return origin, fed

    def _register(self, tensor: Tensor, origin: Origin, *, fed: bool) -> bool:
        entry = self._origins.get(id(tensor))
        if id(tensor) in self._names or (entry and entry[0]() is tensor):
            return False  # it was there before, and changed in place
        self._origins[id(tensor)] = (weakref.ref(tensor), origin, fed)
        return True

    def _passed_on(self, given: Any, output: Any) -> bool:  # noqa: ANN401
        both = isinstance(given, Tensor) and isinstance(output, Tensor)
        if not both or given.is_floating_point() != output.is_floating_point():
            return False
        origin, fed = self._origin(given)
        self._register(output, origin, fed=fed)
        return True

    def _made(self, output: Any, step: int, fed: bool) -> None:  # noqa: ANN401
        for place, tensor in enumerate(_tensors(output)):
            if self._register(tensor, (step, place), fed=fed):
                self._makers.add(step)
            if step in self._keep:
                self.kept.append(tensor)


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


def _number(value: Any) -> Number:  # noqa: ANN401
    if isinstance(value, SYMBOLS):
        return None
    if value != value or value in LIMITS:
        return "limit"  # what it is depends on the type of floats alone
    return value  # type: ignore[no-any-return]


def _tensors(value: Any) -> Iterator[Tensor]:  # noqa: ANN401
    return (x for x in pytree.tree_leaves(value) if isinstance(x, Tensor))


def shapes_of(value: Any) -> tuple[tuple[int, ...], ...]:  # noqa: ANN401
    """Return the shapes of all tensors, in whatever containers they are."""
    return tuple(tuple(x.shape) for x in _tensors(value))
