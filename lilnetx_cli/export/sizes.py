"""A network -> a program for inputs of any size, or of one size where it must be.

Batches may always be of any size. Height, width or length stay open where the network
runs at other sizes and torch.export can follow it there: then the file is compared with
the network at other sizes, too. Some are open up to a limit, such as the length of a
table of positions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

import lnx
from lilnetx_cli.errors import LilnetxError, reason_of
from lilnetx_cli.export.checking import (
    check_same,
    free_axes,
    trial_batches,
    trial_sizes,
)
from lilnetx_cli.graph.tracing import quietly

AXIS_NAMES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
OPEN = 1 << 31  # a size with no smaller bound has none
# Writes a program to a path, with the names of its open axes; returns what runs it.
Save = Callable[[ExportedProgram, Mapping[int, str], Path], Callable[[Tensor], object]]


@dataclass(frozen=True)
class Written:
    """A file that was written and compared.

    Attributes:
        bytes: its length.
        one_size: why it takes inputs of one size alone; None where it takes others.
        limits: the largest sizes that it takes, in words; None where there are none.
    """

    bytes: int
    one_size: str | None = None
    limits: str | None = None


@torch.no_grad()
def write_checked(
    model: nn.Module, example: Tensor, path: Path, save: Save, *, replace: bool
) -> Written:
    """Export a network in evaluation mode, compare what was written, then keep it.

    Raises LilnetxError for a network that cannot be exported, or where the file gives
    something else at the example's own size, and FileExistsError for a file that is
    there where replace is False.
    """
    batches, sizes = trial_batches(example), trial_sizes(model, example)
    reason = None
    if free_axes(example) and not sizes:
        reason = "it ran at no other size that was tried"
    with lnx.atomic_path(path, replace=replace) as temporary:
        if sizes:
            try:
                program = _export(model, example, open_sizes=True)
                limits = _limits(program, example, sizes)
                run = save(program, _names(example, open_sizes=True), temporary)
                check_same(model, run, [*batches, *sizes], path)
                return Written(temporary.stat().st_size, None, limits)
            except LilnetxError:  # then one size, which may do
                reason = "torch.export cannot leave its size open"
        program = _export(model, example, open_sizes=False)
        run = save(program, _names(example, open_sizes=False), temporary)
        check_same(model, run, batches, path)
        return Written(temporary.stat().st_size, reason)


def _export(model: nn.Module, example: Tensor, *, open_sizes: bool) -> ExportedProgram:
    dims = {0: Dim("batch", min=1)}
    if open_sizes:
        dims |= dict.fromkeys(free_axes(example), Dim.AUTO)
    with quietly():
        try:
            return torch.export.export(
                model, (example,), dynamic_shapes=(dims,), strict=False
            )
        except Exception as error:
            reason = reason_of(error)
            raise LilnetxError(
                f"the network cannot be exported by torch.export: {reason}"
            ) from error


def _limits(
    program: ExportedProgram, example: Tensor, tried: list[Tensor]
) -> str | None:
    """Return the largest sizes that a program takes, in words; None without limits.

    Raises LilnetxError where a size was fixed, or does not reach what the network
    takes.
    """
    node = next(
        n for n in program.graph.nodes if n.name in program.graph_signature.user_inputs
    )
    limits = []
    for axis, name in _names(example, open_sizes=True).items():
        size = node.meta["val"].shape[axis]
        if not isinstance(size, torch.SymInt):
            raise LilnetxError("a size is fixed")
        bound = program.range_constraints.get(size.node.expr)
        if axis == 0 or bound is None or bound.upper >= OPEN:
            continue
        if bound.upper < max(x.shape[axis] for x in (example, *tried)):
            raise LilnetxError("a size is bounded")
        limits.append(f"{name} up to {int(bound.upper)}")
    return ", ".join(limits) or None


def _names(example: Tensor, *, open_sizes: bool) -> dict[int, str]:
    axes = free_axes(example) if open_sizes else ()
    names = AXIS_NAMES.get(len(axes), tuple(f"size{axis}" for axis in axes))
    return {0: "batch", **dict(zip(axes, names, strict=True))}
