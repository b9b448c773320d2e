"""Rules of operations along some dimensions: pools, sums, statistics, softmax.

Channels along the other dimensions pass: each is computed from itself alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from lilnetx_cli.graph.grids import Grid, unknown
from lilnetx_cli.graph.nodes import argument, operation
from lilnetx_cli.graph.rules_contraction import contract
from lilnetx_cli.graph.state import State, Unsupported, mixed, rule

SPATIAL = {f"{n}d": n for n in (1, 2, 3)}


@rule(
    *(f"aten::max_pool{d}" for d in SPATIAL),
    *(f"aten::adaptive_avg_pool{d}" for d in SPATIAL),
    *(f"aten::_adaptive_avg_pool{d}" for d in SPATIAL),
    *(f"aten::adaptive_max_pool{d}" for d in SPATIAL),
    *(f"aten::max_pool{d}_with_indices" for d in SPATIAL),
    *(f"aten::avg_pool{d}" for d in SPATIAL),
    *(f"aten::upsample_nearest{d}" for d in SPATIAL),
    *(f"aten::_upsample_nearest_exact{d}" for d in SPATIAL),
    "aten::upsample_linear1d", "aten::upsample_bilinear2d", "aten::upsample_bicubic2d",
    "aten::upsample_trilinear3d", "aten::_upsample_bilinear2d_aa",
    "aten::_upsample_bicubic2d_aa",
)  # fmt: skip
def resample(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Change the places of each channel on its own."""
    grid: Grid = args[0].settled()
    value = node.meta["val"]
    several = isinstance(value, list | tuple)
    shape = tuple((value[0] if several else value).shape)
    wide = next(n for ending, n in SPATIAL.items() if ending in str(node.target))
    before = len(shape) - wide  # images may come alone, without a batch
    places = several and any(user.args[1] == 1 and user.users for user in node.users)
    if len(shape) != len(grid.shape) or before not in (1, 2) or places:
        raise Unsupported
    if any(axis >= before for axis in grid.axes()):
        return mixed(state, node, args)
    known, constant = grid.known, grid.value
    if "avg_pool" in str(node.target) and "adaptive" not in str(node.target):
        known = known & (constant == 0)  # padding counts in the mean
    result = Grid(shape, grid.labels, known, torch.where(known, constant, 0.0))
    return (result, unknown(tuple(value[1].shape))) if several else result


def _same(value: Tensor) -> Tensor:
    return torch.ones_like(value, dtype=torch.bool)


def _zero(value: Tensor) -> Tensor:
    return value == 0


def _zero_or_one(value: Tensor) -> Tensor:
    return (value == 0) | (value == 1)


def _never(value: Tensor) -> Tensor:
    return torch.zeros_like(value, dtype=torch.bool)


# Which constants are the same after an operation, whatever the number of elements.
KEEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": _same, "amax": _same, "amin": _same, "max": _same, "min": _same,
    "median": _same, "nanmedian": _same, "sum": _zero, "linalg_vector_norm": _zero,
    "norm": _zero, "prod": _zero_or_one, "any": _zero_or_one, "all": _zero_or_one,
    "cumsum": _zero, "cumprod": _zero_or_one, "sort": _same, "topk": _same,
    "logsumexp": _never, "argmax": _never, "argmin": _never, "softmax": _never,
    "log_softmax": _never, "logcumsumexp": _never,
}  # fmt: skip
# Some forms of names take two operands, others one dimension.
FORMS = ("max.dim", "max.", "min.dim", "min.", "any.dim", "any.dims", "any.", "all.dim",
         "all.dims", "all.")  # fmt: skip


@rule(
    *(f"aten::{form}" for form in FORMS),
    *(f"aten::{name}" for name in ("mean", "amax", "amin", "median", "nanmedian",
      "linalg_vector_norm", "norm", "prod", "logsumexp", "argmax", "argmin")),
)  # fmt: skip
def reduce(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Take dimensions together."""
    gone = _dimensions(node, args)
    if gone & set(args[0].axes()):
        return mixed(state, node, args)
    keeps = KEEPS[operation(node)]
    return _several(node, _reduced(node, args, gone, keeps))


@rule("aten::sum")
def add_up(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Add dimensions up, those of channels among them: zeros add nothing."""
    gone = _dimensions(node, args)
    if not gone & set(args[0].axes()):
        return _reduced(node, args, gone, _zero)
    letters = tuple(range(len(args[0].shape)))
    if argument(node, args, "keepdim"):
        rest = tuple(-1 if x in gone else x for x in letters)
    else:
        rest = tuple(x for x in letters if x not in gone)
    return contract(state, node, [args[0]], [letters], rest)


@rule("aten::std", "aten::var", "aten::std_mean", "aten::var_mean")
def spread(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Tell how values vary: that of a constant is zero."""
    gone = _dimensions(node, args)
    if gone & set(args[0].axes()):
        return mixed(state, node, args)
    mean = _reduced(node, args, gone, _same)
    varies = Grid(mean.shape, mean.labels, mean.known, torch.zeros_like(mean.value))
    return (varies, mean) if "mean" in operation(node) else varies


@rule("aten::_softmax", "aten::softmax", "aten::_log_softmax", "aten::log_softmax",
      "aten::cumsum", "aten::cumprod", "aten::sort", "aten::topk",
      "aten::logcumsumexp")  # fmt: skip
def along(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Compare or gather along one dimension."""
    grid: Grid = args[0]
    if not grid.shape:
        raise Unsupported
    if int(argument(node, args, "dim")) % len(grid.shape) in grid.axes():
        return mixed(state, node, args)
    given = grid.settled()
    known = given.known & KEEPS[operation(node)](given.value)
    value = torch.where(known, given.value, 0.0)
    value_of = node.meta["val"]
    shape = tuple((value_of if isinstance(value_of, Tensor) else value_of[0]).shape)
    return _several(node, Grid(shape, grid.labels, known, value))


def _dimensions(node: Node, args: Sequence[Any]) -> set[int]:
    """Return the dimensions that an operation takes together; all if it names none."""
    given = argument(node, args, "dim")
    rank = len(args[0].shape)
    if given is None or given == []:
        return set(range(rank))
    axes = given if isinstance(given, list | tuple) else [given]
    return {int(axis) % rank for axis in axes} if rank else set()


def _reduced(
    node: Node,
    args: Sequence[Any],
    gone: set[int],
    keeps: Callable[[Tensor], Tensor],
) -> Grid:
    """Return what is known after dimensions without channels are taken together."""
    grid: Grid = args[0].settled()
    known = grid.known & keeps(grid.value)
    value = torch.where(known, grid.value, 0.0)
    labels = grid.labels
    if not argument(node, args, "keepdim"):
        for axis in sorted(gone, reverse=True):
            labels, known, value = (x.squeeze(axis) for x in (labels, known, value))
    output = node.meta["val"]
    shape = tuple((output if isinstance(output, Tensor) else output[0]).shape)
    return Grid(shape, labels, known, value)


def _several(node: Node, grid: Grid) -> Any:  # noqa: ANN401
    """Return the grids of values and of the indices that may come with them."""
    several = not isinstance(node.meta["val"], Tensor)
    return (grid, grid.forget()) if several else grid
