"""Inputs to try a network on: other batches, sizes, values and ranks.

Legend: a size is a dimension that is neither the batch nor channels.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lilnetx_cli.errors import reason_of
from lilnetx_cli.graph.paths import Path
from lilnetx_cli.graph.recorder import path_of, shapes_of
from lilnetx_cli.graph.tracing import GraphError, trace

Inputs = tuple[Any, ...]
Values = Callable[[Tensor], Tensor]
# Than the example: odd and even sizes at each of the first strides, and one far away.
LARGER = (1, -1, 3, 11, 16)
# Where sizes may be: behind the channels, before them, or from the second on.
SIZES: tuple[Callable[[int], range], ...] = (
    lambda rank: range(2, rank),
    lambda rank: range(1, max(2, rank - 1)),
    lambda rank: range(1, rank),
)
VALUES: tuple[Values, ...] = (
    torch.abs, lambda x: -3 * x.abs(), lambda x: 100 * x, torch.abs, lambda x: x,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Case:
    """One input that a network takes.

    Attributes:
        inputs: what forward is given.
        output: what came out.
        path: how.
        dead_ends: steps of the path of which nothing came.
    """

    inputs: Inputs
    output: Any
    path: Path
    dead_ends: frozenset[int]

    @property
    def ranks(self) -> tuple[int, ...]:
        """The numbers of dimensions of all tensors that go in."""
        return tuple(map(len, shapes_of(self.inputs)))


def cases(model: nn.Module, inputs: Inputs) -> Iterator[Case]:
    """Yield the example, and random inputs of other forms that the network takes.

    Raises GraphError if it does not take the example.
    """
    example = run(model, inputs)
    if example is None:
        trace(fresh(model), inputs)  # says where it fails
        raise GraphError(f"the forward cannot be recorded: {_failure(model, inputs)}")
    versions = [parameter._version for parameter in model.parameters()]
    yield example
    draw = _Drawn(inputs)
    more = run(model, draw(batch=1))
    yield from _some(more or run(model, draw()))
    batch, where = -1 if more is not None else 0, SIZES
    for larger, values in zip(LARGER, VALUES, strict=True):
        for sizes in where:
            found = run(model, draw(batch, larger, sizes, values))
            if found is not None:
                where = (sizes,)
                yield found
                break
    for change in (_first, _stacked):
        for larger in (0, LARGER[2]):
            given = draw(0, larger, where[0])
            yield from _some(run(model, change(given) if given else None))
    if versions != [parameter._version for parameter in model.parameters()]:
        raise GraphError("networks whose forward changes parameters are not pruned")


def _failure(model: nn.Module, inputs: Inputs) -> str:
    """Return why a run is not recorded."""
    try:
        with torch.no_grad():
            path_of(fresh(model), cloned(inputs))
    except Exception as error:  # any: the forward is the user's
        return reason_of(error)
    return "it does not always run"


def _some(*found: Case | None) -> Iterator[Case]:
    return (case for case in found if case is not None)


def run(model: nn.Module, inputs: Inputs | None) -> Case | None:
    """Run a copy of a network on a copy of inputs; None where it fails."""
    if inputs is None:
        return None
    try:
        with torch.no_grad():
            return Case(inputs, *path_of(fresh(model), cloned(inputs)))
    except Exception:  # any: the forward is the user's
        return None


class _Drawn:
    """Random inputs like an example."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._generator = torch.Generator().manual_seed(0)

    def __call__(
        self,
        batch: int = 0,
        larger: int = 0,
        sizes: Callable[[int], range] = SIZES[0],
        values: Values = VALUES[-1],
    ) -> Inputs | None:
        """Return inputs of a larger batch and larger sizes; None if one has none.

        A batch of one stays, whatever is taken away from it.
        """

        def shape_of(x: Tensor) -> list[int]:
            places = sizes(x.dim()) if larger else ()
            shape = [n + larger * (axis in places) for axis, n in enumerate(x.shape)]
            shape[0] = max(min(1, shape[0]), shape[0] + batch)
            return shape

        def draw(x: Any) -> Any:  # noqa: ANN401
            if not isinstance(x, Tensor) or not x.dim():
                return x
            if not x.is_floating_point():
                return _repeated(x, shape_of(x))
            numbers = torch.randn(shape_of(x), generator=self._generator)
            return values(numbers).to(x.device, x.dtype)

        tensors = [x for x in pytree.tree_leaves(self._inputs) if isinstance(x, Tensor)]
        if any(min(shape_of(x)) < 1 for x in tensors if x.dim()):
            return None
        if larger and not any(list(sizes(x.dim())) for x in tensors):
            return None
        return pytree.tree_map(draw, self._inputs)  # type: ignore[no-any-return]


def _repeated(tensor: Tensor, shape: list[int]) -> Tensor:
    """Return a tensor of another shape, with the values that it has."""
    for axis, size in enumerate(shape):
        places = torch.arange(size, device=tensor.device) % tensor.shape[axis]
        tensor = tensor.index_select(axis, places)
    return tensor


def _first(inputs: Inputs) -> Inputs:
    """Return the first of a batch, alone."""
    return pytree.tree_map(  # type: ignore[no-any-return]
        lambda x: x[0] if isinstance(x, Tensor) and x.dim() else x, inputs
    )


def _stacked(inputs: Inputs) -> Inputs:
    """Return inputs with one more dimension in front."""
    return pytree.tree_map(  # type: ignore[no-any-return]
        lambda x: x[None] if isinstance(x, Tensor) else x, inputs
    )


def fresh(model: nn.Module) -> nn.Module:
    """Return a copy with the same parameters: forward may change all else."""
    own = {id(x): x.detach().clone() for x in model.buffers()}
    return copy.deepcopy(model, own | {id(x): x for x in model.parameters()})


def cloned(inputs: Any) -> Any:  # noqa: ANN401
    """Return a copy of inputs: forward may change them."""
    return pytree.tree_map(
        lambda x: x.detach().clone() if isinstance(x, Tensor) else x, inputs
    )
