"""The path that a forward takes: which functions and layers it calls, and on what.

Two inputs of different sizes take one path if the calls are the same, on the same
tensors; the numbers that are passed may differ, and then depend on sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

Number = Real | str | None
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


@dataclass(frozen=True)
class Step:
    """One call.

    Attributes:
        where: the module whose forward calls; of a layer its own name.
        name: of a function of torch, or "" for a layer.
        form: the arguments: where tensors come from, "#" for each number.
        numbers: these, in order; None is any number.
        fed: whether one of the tensors depends on the inputs.
        settings: of a layer, what it computes with beside tensors.
    """

    where: str
    name: str
    form: Any
    numbers: tuple[Number, ...]
    fed: bool
    settings: Any = ()

    def only_resizes(self) -> bool:
        """Tell whether the numbers say how large the result is, not what is in it."""
        return self.name in FILL or (self.fed and self.name in RESIZE)

    def same_call(self, other: "Step") -> bool:
        """Tell whether another step is this call, with whatever numbers."""
        mine, yours = (self.where, self.name), (other.where, other.name)
        return mine == yours and self.form == other.form

    def allows(self, other: "Step") -> bool:
        """Tell whether another step is this call with numbers that are allowed."""
        if self.settings != other.settings or not self.same_call(other):
            return False
        both = zip(self.numbers, other.numbers, strict=True)
        return all(mine is None or mine == yours for mine, yours in both)

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
