"""Run two networks side by side: do they, and all their layers, give the same?"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils import _pytree as pytree

from lilnetx_cli.errors import reason_of
from lilnetx_cli.graph.paths import Path
from lilnetx_cli.graph.recorder import Listener, no_one, path_of
from lilnetx_cli.graph.tracing import following
from lilnetx_cli.pruning.cases import Case, Inputs, cloned, fresh
from lilnetx_cli.pruning.distance import distance, output_copies, relative

TOLERANCE = 1e-5  # of a tensor's largest; what float64 leaves is 1e-12
NARROW_TOLERANCE = 1e-4  # where a network does not run in float64
TIMES = 16  # the error that rounding alone makes


@dataclass(frozen=True)
class Difference:
    """How two networks compare.

    Attributes:
        problem: what is wrong, None if they are equal within the tolerance.
        module: the layer that it shows at first, None if it is not known.
        largest: absolute difference of outputs for the example, as the networks are.
        equal: the cases in which they are equal, and the paths of the smaller network
            there; those of other ranks may be missing.
    """

    problem: str | None = None
    module: str | None = None
    largest: float = 0.0
    equal: Mapping[Case, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class _Pair:
    dense: nn.Module
    smaller: nn.Module
    layers: Mapping[str, tuple[Tensor, Tensor]]
    tolerance: float


@torch.no_grad()
def compare(
    dense: nn.Module,
    shrink: Callable[[nn.Module], nn.Module],
    layers: Mapping[str, tuple[Tensor, Tensor]],
    cases: Sequence[Case],
) -> Difference:
    """Compare a network with what is made of it, on all cases.

    Compared are all outputs, and of the layers named the channels that matter: for each
    two masks, of what is left of its channels, (C,), and of what matters of these. An
    output may hide what goes wrong before it. What is compared is a copy in float64 on
    the CPU, and what is made of that, so that nothing is lost to rounding; or both as
    they are where they do not run so, and rounding is then allowed for.
    """
    example = cases[0]
    bare = _compare_bare(shrink(dense), example)
    if bare.problem is not None:
        return bare
    wide = copy.deepcopy(dense).to("cpu", torch.float64)
    prepare: Callable[[Inputs], Inputs] = _widened
    pair = _Pair(wide, shrink(wide), layers, TOLERANCE)
    if _outputs(wide, _widened(example.inputs)) is None:
        rounding = TIMES * _rounding(dense, example.inputs)
        same = copy.deepcopy(dense)
        pair = _Pair(same, shrink(same), layers, max(NARROW_TOLERANCE, rounding))
        prepare = cloned
    equal: dict[Case, Path] = {}
    for case in cases:
        inputs = prepare(case.inputs)
        before: dict[str, Tensor] = {}
        wanted = _outputs(pair.dense, inputs, _keeper(layers, before))
        if wanted is None:
            continue  # it takes this, but not in float64
        found, path = _compare(pair, inputs, wanted, before)
        if found.problem is None:
            equal[case] = path
        elif case.ranks == example.ranks:
            return found
    return replace(bare, equal=equal)


def _compare_bare(smaller: nn.Module, example: Case) -> Difference:
    """Tell whether the smaller network runs as it will: without hooks."""
    try:
        given = output_copies(fresh(smaller)(*cloned(example.inputs)))
    except Exception as error:  # any: the forward is the user's
        reason = reason_of(error)
        where: list[str] = []
        with following(smaller, where):
            _outputs(smaller, example.inputs, copied=False)
        return Difference(f"does not run: {reason}", where[-1] if where else None)
    wanted = output_copies(example.output)
    if [x.shape for x in wanted] != [x.shape for x in given]:
        return Difference("gives other shapes")
    return Difference(largest=max(map(distance, wanted, given), default=0.0))


def _compare(
    pair: _Pair, inputs: Inputs, wanted: list[Tensor], before: Mapping[str, Tensor]
) -> tuple[Difference, Path]:
    """Compare the smaller network with what the dense gave; returns its path, too."""
    after: dict[str, Tensor] = {}
    network, listen = fresh(pair.smaller), _keeper(pair.layers, after)
    try:
        output, path, _ = path_of(network, cloned(inputs), listen)
    except Exception:  # any: the forward is the user's
        return Difference("fails", _first_difference(pair, before, after)), ()
    given, where = output_copies(output), _first_difference(pair, before, after)
    if [x.shape for x in wanted] != [x.shape for x in given]:
        return Difference("gives other shapes", where), path
    worst = max(map(relative, wanted, given), default=0.0)
    if worst > pair.tolerance:
        problem = f"differs by {worst:.1e} of the largest output"
        return Difference(problem, where), path
    if where is not None:
        return Difference("has a layer that differs", where), path
    return Difference(), path


def _first_difference(
    pair: _Pair, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> str | None:
    """Return the first layer whose channels that matter are not those of before."""
    for name, output in after.items():
        stays, matters = pair.layers[name]
        wanted = before.get(name)
        axis = _channel_axis(pair.dense.get_submodule(name))
        if wanted is None or not matters.any():
            continue
        if wanted.dim() < 2 or wanted.shape[axis] != len(stays):
            continue  # what the module gives is not what its operation gave
        if output.dim() < 2 or output.shape[axis] != int(stays.sum()):
            return name
        left = wanted.index_select(axis, _places(matters, wanted))
        right = output.index_select(axis, _places(matters[stays], output))
        if left.shape != right.shape or relative(left, right) > pair.tolerance:
            return name
    return None


def _channel_axis(layer: nn.Module) -> int:
    """Return the dimension of channels of what a layer of torch gives."""
    if isinstance(layer, nn.Linear | nn.Embedding):
        return -1
    return -1 - len(layer.kernel_size) if isinstance(layer, _ConvNd) else 1


def _places(mask: Tensor, like: Tensor) -> Tensor:
    return mask.nonzero().flatten().to(like.device)


def _outputs(
    model: nn.Module,
    inputs: Inputs,
    listen: Listener = no_one,
    *,
    copied: bool = True,
) -> list[Tensor] | None:
    """Return copies of all tensors that a network gives; None where it fails.

    A copy of the network runs on a copy of the inputs: both may be changed by it.
    """
    network = fresh(model) if copied else model
    handles = [
        module.register_forward_hook(partial(_tell, listen, name))
        for name, module in network.named_modules()
    ]
    try:
        return output_copies(network(*cloned(inputs)))
    except Exception:  # any: the forward is the user's
        return None
    finally:
        for handle in handles:
            handle.remove()


def _tell(
    listen: Listener,
    name: str,
    module: nn.Module,
    args: Any,  # noqa: ANN401
    output: Any,  # noqa: ANN401
) -> None:
    del module, args
    listen(name, output)


def _keeper(layers: Collection[str], found: dict[str, Tensor]) -> Listener:
    """Return what keeps copies of what some layers give, in order."""

    def keep(name: str, output: Any) -> None:  # noqa: ANN401
        if name in layers and isinstance(output, Tensor):
            found[name] = output.detach().clone()

    return keep


def _rounding(model: nn.Module, inputs: Inputs) -> float:
    """Return by how much outputs move if all parameters are rounded once more."""
    moved = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    for parameter in moved.parameters():
        if parameter.is_floating_point():
            up = torch.randint(2, parameter.shape, generator=generator) * 2.0 - 1
            by = up.to(parameter.device) * torch.finfo(parameter.dtype).eps
            parameter.copy_((parameter.double() * (1 + by)).to(parameter.dtype))
    one, other = _outputs(model, inputs), _outputs(moved, inputs)
    return max(map(relative, one or [], other or []), default=0.0)


def _widened(inputs: Inputs) -> Inputs:
    def widen(x: Any) -> Any:  # noqa: ANN401
        if not isinstance(x, Tensor):
            return x
        return x.cpu().double() if x.is_floating_point() else x.cpu()

    return pytree.tree_map(widen, inputs)  # type: ignore[no-any-return]
