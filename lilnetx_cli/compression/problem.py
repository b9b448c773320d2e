"""The weights of a container, laid out for quantization: gains, bases, segments."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

import lnx
from lilnetx_cli.compression.search import FIRST_SNR, first_step
from lilnetx_cli.compression.selection import floats_of
from lilnetx_cli.compression.targets import Target
from lilnetx_cli.quantization.bases import (
    IDENTITY,
    LEAST_REFLECTED,
    Basis,
    choose_basis,
    choose_reflections,
)
from lilnetx_cli.quantization.cells import Cells, Weight, lay_out
from lilnetx_cli.quantization.gains import gain_of, outlier_energy, usual_size
from lnx import spec
from lnx.tensors.classes import grid_of
from lnx.tensors.container import elements


@dataclass(frozen=True, eq=False)
class Problem:
    """The weights of a container, in their bases, and everything else."""

    container: lnx.Container
    cells: Cells
    bases: tuple[Basis, ...]
    exact_side: bool


def pose(
    container: lnx.Container, names: Sequence[str], target: Target, exact_side: bool
) -> Problem:
    """Lay out all weights, choose bases at about the final step, apply them."""
    plain = _with_gains([_weight(container, name) for name in names])
    snr = FIRST_SNR if target.snr is None else target.snr
    step = first_step(lay_out(plain), snr)
    weights, bases = [], []
    columns = 0
    for weight in plain:
        weight, basis = _in_a_basis(weight, step, spec.MAX_PLANES - columns)
        columns += weight.values.shape[1]
        weights.append(weight)
        bases.append(basis)
    return Problem(container, lay_out(weights), tuple(bases), exact_side)


def _in_a_basis(weight: Weight, step: float, planes: int) -> tuple[Weight, Basis]:
    """Return a weight in the basis that is cheapest at a step, and the basis.

    A dense weight gets slices of whole rows if these are reflected, where files have
    planes enough for their columns.
    """
    rows, columns, length = weight.grid
    dense = length == 1 and LEAST_REFLECTED <= columns <= min(spec.MAX_SLICE, planes)
    if dense and rows > LEAST_REFLECTED:
        values = weight.values.reshape(rows, columns)
        basis = choose_reflections(values, step)
        if basis is not IDENTITY:
            values = basis.analyze(values)
            return replace(weight, values=values, grid=(rows, 1, columns)), basis
    basis = choose_basis(weight.values, weight.grid, step)
    return replace(weight, values=basis.analyze(weight.values)), basis


def _with_gains(weights: Sequence[Weight]) -> list[Weight]:
    """Multiply the values of very small tensors, so that the common step fits them."""
    sizes = [usual_size(weight.values) for weight in weights]
    counts = [weight.values.size for weight in weights]
    together = float(np.sqrt(np.average(np.square(sizes), weights=counts)))
    found = []
    for weight, size in zip(weights, sizes, strict=True):
        gain = gain_of(weight.values, size, together)
        values = weight.values if gain == 1 else weight.values * np.float32(gain)
        outliers = outlier_energy(weight.values, size)
        found.append(replace(weight, values=values, gain=gain, outliers=outliers))
    return found


def _weight(container: lnx.Container, name: str) -> Weight:
    tensor = container[name]
    if not isinstance(tensor, lnx.Exact):
        raise TypeError(name)
    length = slice_length(tensor.shape)
    values = floats_of(tensor).reshape(-1, length)
    return Weight(name, grid_of(tensor.shape, length), values)


def slice_length(shape: tuple[int, ...]) -> int:
    """Return the weights of a kernel where there are dimensions for it, else 1."""
    taps = elements(shape[2:]) if len(shape) > 2 else 1
    return taps if 0 < taps <= spec.MAX_SLICE else 1
