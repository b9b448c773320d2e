"""The weights of a container, laid out for quantization: gains, bases, segments."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

import lnx
from lilnetx_cli.compression.search import FIRST_SNR, first_step
from lilnetx_cli.compression.selection import floats_of
from lilnetx_cli.compression.targets import Target
from lilnetx_cli.quantization.bases import Basis, choose_basis
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
    bases = tuple(choose_basis(w.values, w.grid, step) for w in plain)
    weights = [
        replace(weight, values=basis.analyze(weight.values))
        for weight, basis in zip(plain, bases, strict=True)
    ]
    return Problem(container, lay_out(weights), bases, exact_side)


def _with_gains(weights: Sequence[Weight]) -> list[Weight]:
    """Multiply the values of very small tensors, so that the common step fits them."""
    sizes = [usual_size(weight.values) for weight in weights]
    counts = [weight.values.size for weight in weights]
    together = float(np.sqrt(np.average(np.square(sizes), weights=counts)))
    found = []
    for weight, size in zip(weights, sizes, strict=True):
        gain = gain_of(size, together)
        values = weight.values if gain == 1 else weight.values * np.float32(gain)
        outliers = outlier_energy(weight.values, size)
        found.append(replace(weight, values=values, gain=gain, outliers=outliers))
    return found


def _weight(container: lnx.Container, name: str) -> Weight:
    tensor = container[name]
    if not isinstance(tensor, lnx.Exact):
        raise TypeError(name)
    length = _slice_length(tensor.shape)
    values = floats_of(tensor).reshape(-1, length)
    return Weight(name, grid_of(tensor.shape, length), values)


def _slice_length(shape: tuple[int, ...]) -> int:
    """Return the weights of a kernel where there are dimensions for it, else 1."""
    taps = elements(shape[2:]) if len(shape) > 2 else 1
    return taps if 0 < taps <= spec.MAX_SLICE else 1
