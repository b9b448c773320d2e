"""Run two networks side by side: do they, and all their layers, give the same?"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lilnetx_cli.errors import reason_of
from lilnetx_cli.graph.tracing import GraphError, following

TOLERANCE = 1e-5  # of a tensor's largest; what is left of a fold in float32 is 1e-7
FLOAT32_TOLERANCE = 1e-4
LARGER = 8  # pixels
TINY = 1e-30

Inputs = tuple[Any, ...]


@dataclass(frozen=True)
class Difference:
    """How two networks compare.

    Attributes:
        largest: absolute difference of outputs.
        problem: what is wrong, None if they are equal within the tolerance.
        module: the layer that it shows at first, None if it is not known.
    """

    largest: float
    problem: str | None = None
    module: str | None = None


@dataclass(frozen=True)
class _Pair:
    dense: nn.Module
    smaller: nn.Module
    layers: Mapping[str, tuple[Tensor, Tensor]]
    tolerance: float


@torch.no_grad()
def compare(
    dense: nn.Module,
    smaller: nn.Module,
    layers: Mapping[str, tuple[Tensor, Tensor]],
    inputs: Inputs,
) -> Difference:
    """Compare on the example and on random inputs, other batches and sizes among them.

    Compared are all outputs, and of the layers named the channels that matter: for each
    two masks, of what is left of its channels, (C,), and of what matters of these. An
    output may hide what goes wrong before it. Computed in float64 on the CPU, or as the
    networks are where they do not run so. Raises GraphError where the dense network
    does not run on the example.
    """
    pair = _Pair(_widened(dense), _widened(smaller), layers, TOLERANCE)
    prepare: Callable[[Inputs], Inputs] = _wide_inputs
    if _outputs(pair.dense, prepare(inputs)) is None:
        pair = _Pair(dense, smaller, layers, FLOAT32_TOLERANCE)
        prepare = _cloned
        if _outputs(dense, prepare(inputs)) is None:
            raise GraphError("the network does not run on the example")
    bare = _compare_bare(pair, prepare(inputs))
    if bare.problem is not None:
        return bare
    largest = 0.0
    for given in _variants(inputs):
        found = _compare(pair, prepare(given))
        if found.problem is not None:
            return found
        largest = max(largest, found.largest)
    return Difference(largest)


def _compare_bare(pair: _Pair, inputs: Inputs) -> Difference:
    """Tell whether the smaller network runs, as it will: without hooks."""
    network = copy.deepcopy(pair.smaller)
    try:
        network(*_cloned(inputs))
    except Exception as error:  # any: the forward is the user's
        reason = reason_of(error)
        where: list[str] = []
        again = copy.deepcopy(pair.smaller)
        with following(again, where):
            _outputs(again, inputs, fresh=False)
        module = where[-1] if where else None
        return Difference(float("inf"), f"does not run: {reason}", module)
    return Difference(0.0)


def _compare(pair: _Pair, inputs: Inputs) -> Difference:
    """Compare one case, if the dense network takes it."""
    before: dict[str, Tensor] = {}
    wanted = _outputs(pair.dense, inputs, pair.layers, before)
    if wanted is None:
        return Difference(0.0)  # the network takes no such size, or no such values
    after: dict[str, Tensor] = {}
    given = _outputs(pair.smaller, inputs, pair.layers, after)
    where = _first_difference(pair, before, after)
    if given is None or [x.shape for x in wanted] != [x.shape for x in given]:
        return Difference(float("inf"), "fails, or gives other shapes", where)
    apart = [_distance(a, b) for a, b in zip(wanted, given, strict=True)]
    far = [d / max(_size(a), TINY) for d, a in zip(apart, wanted, strict=True)]
    largest, worst = max(apart, default=0.0), max(far, default=0.0)
    if worst > pair.tolerance:
        problem = f"differs by {worst:.1e} of the largest output"
        return Difference(largest, problem, where)
    if where is not None:
        return Difference(largest, "has a layer that differs", where)
    return Difference(largest)


def _first_difference(
    pair: _Pair, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> str | None:
    """Return the first layer whose channels that matter are not those of before."""
    for name, output in after.items():
        stays, matters = pair.layers[name]
        wanted = before.get(name)
        layer = pair.dense.get_submodule(name)
        axis = -1 if isinstance(layer, nn.Linear) else 1
        if wanted is None or not matters.any():
            continue
        if wanted.dim() < 2 or wanted.shape[axis] != len(stays):
            continue  # what the module gives is not what its operation gave
        if output.dim() < 2 or output.shape[axis] != int(stays.sum()):
            return name
        left = wanted.index_select(axis, _places(matters, wanted))
        right = output.index_select(axis, _places(matters[stays], output))
        if left.shape != right.shape:
            return name
        if _distance(left, right) > pair.tolerance * max(_size(left), TINY):
            return name
    return None


def _places(mask: Tensor, like: Tensor) -> Tensor:
    return mask.nonzero().flatten().to(like.device)


def _outputs(
    model: nn.Module,
    inputs: Inputs,
    layers: Mapping[str, Any] | None = None,
    found: dict[str, Tensor] | None = None,
    *,
    fresh: bool = True,
) -> list[Tensor] | None:
    """Return copies of all tensors that a network gives; None where it fails.

    A copy of the network runs on a copy of the inputs: both may be changed by it. What
    the layers give goes into `found`, in order.
    """
    network = copy.deepcopy(model) if fresh else model
    with _listening(network, layers or {}, found if found is not None else {}):
        try:
            output = network(*_cloned(inputs))
        except Exception:  # any: the forward is the user's
            return None
    tensors = [x for x in pytree.tree_leaves(output) if isinstance(x, Tensor)]
    return [torch.view_as_real(x) if x.is_complex() else x.clone() for x in tensors]


@contextmanager
def _listening(
    model: nn.Module, names: Mapping[str, Any], found: dict[str, Tensor]
) -> Iterator[None]:
    def keeper(name: str) -> Any:  # noqa: ANN401
        def keep(module: nn.Module, args: Any, output: Any) -> None:  # noqa: ANN401
            del module, args
            if isinstance(output, Tensor):
                found[name] = output.detach().clone()

        return keep

    handles = [
        model.get_submodule(name).register_forward_hook(keeper(name)) for name in names
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _distance(wanted: Tensor, given: Tensor) -> float:
    if not wanted.numel():
        return 0.0
    apart = (wanted.double() - given.double()).abs()
    same = (wanted == given) | (wanted.isnan() & given.isnan())
    worst = float(torch.where(same, 0.0, apart).max())
    return worst if worst == worst else float("inf")


def _size(tensor: Tensor) -> float:
    finite = tensor.double()[tensor.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


def _variants(inputs: Inputs) -> Iterator[Inputs]:
    """Yield the example, and random inputs of other batches, sizes and ranges."""
    generator = torch.Generator().manual_seed(0)

    def drawn(batch: int, wider: int, values: Callable[[Tensor], Tensor]) -> Inputs:
        def draw(x: Any) -> Any:  # noqa: ANN401
            if not isinstance(x, Tensor) or not x.is_floating_point() or not x.dim():
                return x
            shape = [x.shape[0] + batch, *x.shape[1:]]
            if len(shape) == 4:
                shape[2:] = [size + wider for size in shape[2:]]
            numbers = values(torch.randn(shape, generator=generator))
            return numbers.to(x.device, x.dtype)

        return pytree.tree_map(draw, inputs)  # type: ignore[no-any-return]

    yield inputs
    yield drawn(0, 0, lambda x: x)
    yield drawn(1, 0, lambda x: -3 * x.abs())
    yield drawn(0, LARGER, lambda x: x.abs())
    yield drawn(-1, LARGER, lambda x: 100 * x)


def _widened(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).to("cpu", torch.float64)


def _wide_inputs(inputs: Inputs) -> Inputs:
    def widen(x: Any) -> Any:  # noqa: ANN401
        if not isinstance(x, Tensor):
            return x
        return x.cpu().double() if x.is_floating_point() else x.cpu()

    return pytree.tree_map(widen, inputs)  # type: ignore[no-any-return]


def _cloned(inputs: Inputs) -> Inputs:
    def clone(x: Any) -> Any:  # noqa: ANN401
        return x.detach().clone() if isinstance(x, Tensor) else x

    return pytree.tree_map(clone, inputs)  # type: ignore[no-any-return]
