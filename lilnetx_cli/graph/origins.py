"""Where the tensors of a forward come from, and what a call of a function is told."""

import weakref
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lilnetx_cli.graph.names import first_names
from lilnetx_cli.graph.paths import Number, Step

Origin = str | tuple[int, int]  # a name, or a step and which of its results
GIVEN = "given"  # a tensor that is neither a parameter nor made: nothing is known of it
SYMBOLS = (torch.SymInt, torch.SymFloat, torch.SymBool)
LIMITS = frozenset(
    number
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    for info in (torch.finfo(kind),)
    for number in (info.min, info.max, info.eps, info.tiny)
)


class Origins:
    """What is known of the tensors of one run.

    Attributes:
        read: steps of which something was looked up.
    """

    def __init__(self, model: nn.Module) -> None:
        self.read: set[int] = set()
        self._names = first_names(model)
        self._known: dict[int, tuple[weakref.ref[Tensor], Origin, bool]] = {}

    def of(self, tensor: Tensor) -> tuple[Origin, bool]:
        """Return where a tensor comes from, and whether it depends on the inputs."""
        entry = self._known.get(id(tensor))
        if entry is None or entry[0]() is not tensor:
            return self._names.get(id(tensor), GIVEN), False
        _, origin, fed = entry
        if isinstance(origin, tuple):
            self.read.add(origin[0])
        return origin, fed

    def note(self, tensor: Tensor, origin: Origin, *, fed: bool) -> bool:
        """Note a new tensor; False for one that was there, and was changed in place."""
        entry = self._known.get(id(tensor))
        if id(tensor) in self._names or (entry and entry[0]() is tensor):
            return False
        self._known[id(tensor)] = (weakref.ref(tensor), origin, fed)
        return True


def described(where: str, name: str, given: Any, origins: Origins) -> Step:  # noqa: ANN401
    """Return a call, as a step, from all that it is given."""
    numbers: list[Number] = []
    fed: list[bool] = []
    form = _form(given, origins, numbers, fed)
    return Step(where, name, form, tuple(numbers), any(fed))


def _form(
    value: Any,  # noqa: ANN401
    origins: Origins,
    numbers: list[Number],
    fed: list[bool],
) -> Any:  # noqa: ANN401
    if isinstance(value, Tensor):
        origin, depends = origins.of(value)
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
    return tuple(_form(part, origins, numbers, fed) for part in parts)


def _number(value: Any) -> Number:  # noqa: ANN401
    if isinstance(value, SYMBOLS):
        return None
    if value != value or value in LIMITS:
        return "limit"  # what it is depends on the type of floats alone
    return value  # type: ignore[no-any-return]


def tensors_of(value: Any) -> Iterator[Tensor]:  # noqa: ANN401
    """Yield all tensors, in whatever containers they are."""
    return (x for x in pytree.tree_leaves(value) if isinstance(x, Tensor))
