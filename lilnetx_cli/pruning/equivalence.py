"""Run two networks side by side: do they give the same?"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lilnetx_cli.graph.tracing import following

TOLERANCE = 1e-5  # of the largest output; what is left of a fold in float32 is 1e-7
FLOAT32_TOLERANCE = 1e-4
LARGER = 8  # pixels


@dataclass(frozen=True)
class Difference:
    """How two networks compare.

    Attributes:
        largest: absolute difference of outputs.
        relative: the same, of the largest output.
        problem: what is wrong, None if they are equal within the tolerance.
        module: where the smaller one failed to run, None if it ran.
    """

    largest: float
    relative: float
    problem: str | None = None
    module: str | None = None


@torch.no_grad()
def compare(
    dense: nn.Module, smaller: nn.Module, inputs: tuple[Any, ...]
) -> Difference:
    """Compare on random inputs of two batch sizes and, where it takes them, two sizes.

    Computed in float64 on the CPU, or as the networks are where they do not run so.
    """
    pair, tolerance = (_widened(dense), _widened(smaller)), TOLERANCE
    widen: Callable[[tuple[Any, ...]], tuple[Any, ...]] = _wide_inputs
    if not _runs(pair[0], widen(inputs)):
        pair, tolerance, widen = (dense, smaller), FLOAT32_TOLERANCE, _as_given
    worst = Difference(0.0, 0.0)
    for number, given in enumerate(_variants(inputs)):
        case = widen(given)
        if number and not _runs(pair[0], case):
            continue  # the network takes no other size
        found = _compare(pair, case, tolerance)
        if found.problem is not None:
            return found
        worst = max(worst, found, key=lambda x: x.relative)
    return worst


@torch.no_grad()
def first_difference(
    dense: nn.Module,
    smaller: nn.Module,
    stays: Mapping[str, Tensor],
    inputs: tuple[Any, ...],
) -> str | None:
    """Return the first layer whose channels that stay are not those of before.

    `stays` tells by layer which of its channels do, (C,).
    """
    given = next(iter(_variants(inputs)))
    wanted = _layer_outputs(dense, stays, given)
    for name, output in _layer_outputs(smaller, stays, given).items():
        before = wanted.get(name)
        if before is None:
            continue
        axis = -1 if isinstance(dense.get_submodule(name), nn.Linear) else 1
        index = stays[name].nonzero().flatten().to(before.device)
        kept = before.index_select(axis, index)
        apart = output.shape != kept.shape
        if apart or _distance(kept, output) > FLOAT32_TOLERANCE * max(1.0, _size(kept)):
            return name
    return None


def _layer_outputs(
    model: nn.Module, names: Iterable[str], inputs: tuple[Any, ...]
) -> dict[str, Tensor]:
    """Run a network as far as it runs; return what some layers gave, in order."""
    found: dict[str, Tensor] = {}
    handles = []

    def keeper(name: str) -> Any:  # noqa: ANN401
        def keep(module: nn.Module, args: Any, output: Any) -> None:  # noqa: ANN401
            del module, args
            if isinstance(output, Tensor):
                found[name] = output.detach().clone()

        return keep

    for name in names:
        layer = model.get_submodule(name)
        handles.append(layer.register_forward_hook(keeper(name)))
    _runs(model, inputs)
    for handle in handles:
        handle.remove()
    return found


def _compare(
    pair: tuple[nn.Module, nn.Module], inputs: tuple[Any, ...], tolerance: float
) -> Difference:
    wanted = _tensors(pair[0](*inputs))
    where: list[str] = []
    try:
        with following(pair[1], where):
            given = _tensors(pair[1](*inputs))
    except Exception as error:  # any: the forward is the user's
        reason = " ".join(str(error).split())[:200]
        module = where[-1] if where else ""
        return Difference(float("inf"), float("inf"), f"does not run: {reason}", module)
    if [x.shape for x in wanted] != [x.shape for x in given]:
        return Difference(float("inf"), float("inf"), "gives other shapes")
    pairs = list(zip(wanted, given, strict=True))
    largest = max((_distance(a, b) for a, b in pairs), default=0.0)
    size = max((_size(a) for a in wanted), default=0.0)
    relative = largest / size if size else largest
    if relative <= tolerance:
        return Difference(largest, relative)
    return Difference(
        largest, relative, f"differs by {relative:.1e} of its largest output"
    )


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


def _variants(inputs: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield random inputs: of the given size, a larger batch, a larger image, one."""
    generator = torch.Generator().manual_seed(0)

    def drawn(more: int, wider: int, first: int | None = None) -> tuple[Any, ...]:
        def draw(x: Any) -> Any:  # noqa: ANN401
            if not isinstance(x, Tensor) or not x.is_floating_point():
                return x
            shape = list(x.shape)
            if more and shape:
                shape[0] += more
            if first is not None and shape:
                shape[0] = first
            if wider and len(shape) == 4:
                shape[2:] = [size + wider for size in shape[2:]]
            values = torch.randn(shape, generator=generator)
            return values.to(x.device, x.dtype)

        return pytree.tree_map(draw, inputs)  # type: ignore[no-any-return]

    yield drawn(0, 0)
    yield drawn(1, 0)
    yield drawn(0, LARGER)
    yield drawn(0, LARGER, 1)


def _runs(model: nn.Module, inputs: tuple[Any, ...]) -> bool:
    try:
        model(*inputs)
    except Exception:  # any: the forward is the user's
        return False
    return True


def _tensors(output: Any) -> list[Tensor]:  # noqa: ANN401
    return [x for x in pytree.tree_leaves(output) if isinstance(x, Tensor)]


def _widened(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).to("cpu", torch.float64)


def _wide_inputs(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    def widen(x: Any) -> Any:  # noqa: ANN401
        if not isinstance(x, Tensor):
            return x
        return x.cpu().double() if x.is_floating_point() else x.cpu()

    return pytree.tree_map(widen, inputs)  # type: ignore[no-any-return]


def _as_given(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return inputs
