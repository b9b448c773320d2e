"""A container of exact tensors -> one whose weights are quantized."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import lnx
from lilnetx_cli.compression.search import (
    FIRST_SNR,
    Progress,
    find_size,
    find_snr,
    first_step,
)
from lilnetx_cli.compression.selection import (
    floats_of,
    is_measured,
    is_weight,
    round_side,
)
from lilnetx_cli.compression.targets import Target
from lilnetx_cli.errors import UsageError
from lilnetx_cli.quantization.bases import IDENTITY, Basis, choose_basis
from lilnetx_cli.quantization.cells import Cells, Indices, Weight, lay_out
from lilnetx_cli.quantization.gains import gain_of, outlier_energy, usual_size
from lilnetx_cli.quantization.rounding import Rounded
from lnx import spec
from lnx.dtypes import ROUNDED_TO, shortest_type
from lnx.tensors.classes import grid_of
from lnx.tensors.container import elements

MOST_CORRECTIONS = 4
SHORT_UP_TO = 50.0  # dB; finer steps need decoders in float32


@dataclass(frozen=True, eq=False)
class Lossy:
    """A container that stands for another, and how well.

    Attributes:
        container: what to save.
        snr: over all finite float tensors of two or more dimensions, in dB; None where
            nothing of them was lost.
        exact: names of the weights that are kept exactly because they hold NaN or
            infinity.
    """

    container: lnx.Container
    snr: float | None
    exact: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Problem:
    """The weights of a container, in their bases, and everything else."""

    container: lnx.Container
    cells: Cells
    bases: tuple[Basis, ...]
    exact_side: bool


def dense_container(container: lnx.Container) -> lnx.Container:
    """Return a container with every tensor exact: latents decoded."""
    tensors = [
        lnx.Exact(t.name, t.dtype, t.shape, _bytes_of(t, container))
        if isinstance(t, lnx.Latent)
        else t
        for t in container.tensors
    ]
    return replace(container, tensors=tuple(tensors), decoders=())


def _bytes_of(tensor: lnx.Latent, container: lnx.Container) -> NDArray[np.uint8]:
    array = np.ascontiguousarray(lnx.rebuild(tensor, container))
    return array.reshape(-1).view(np.uint8)


def parameters(container: lnx.Container) -> int:
    """Return the number of elements of all tensors; aliases repeat nothing."""
    return sum(
        elements(t.shape) for t in container.tensors if not isinstance(t, lnx.Alias)
    )


def dense_bytes(container: lnx.Container) -> int:
    """Return the bytes of all tensors of a container of exact ones."""
    return sum(len(t.data) for t in container.tensors if isinstance(t, lnx.Exact))


def compress_container(
    container: lnx.Container,
    target: Target,
    *,
    exact_side: bool = False,
    progress: Progress | None = None,
) -> Lossy:
    """Quantize the weights of a container that holds exact tensors.

    `progress` is told after each try how many there were. Raises UsageError for a size
    that cannot be had, with the smallest that can.
    """
    names = [t.name for t in container.tensors if _quantized(t)]
    if not names:
        return Lossy(container, None, _not_finite(container))
    problem = _problem(container, names, target, exact_side)
    if target.size is not None:
        rounded = _for_size(problem, target.size, progress)
    else:
        rounded = find_snr(problem.cells, float(target.snr or 0), progress)
    made = _assemble(problem, rounded)
    return Lossy(made, _measure(container, made), _not_finite(container))


def _quantized(tensor: lnx.Latent | lnx.Exact | lnx.Alias) -> bool:
    return isinstance(tensor, lnx.Exact) and is_weight(tensor)


def _not_finite(container: lnx.Container) -> tuple[str, ...]:
    return tuple(
        tensor.name
        for tensor in container.tensors
        if isinstance(tensor, lnx.Exact)
        and len(tensor.shape) > 1
        and tensor.dtype in ROUNDED_TO
        and not np.isfinite(floats_of(tensor)).all()
    )


def _problem(
    container: lnx.Container, names: Sequence[str], target: Target, exact_side: bool
) -> _Problem:
    """Lay out all weights, choose bases at about the final step, apply them."""
    plain = _with_gains([_weight(container, name) for name in names])
    snr = FIRST_SNR if target.snr is None else target.snr
    step = first_step(lay_out(plain), snr)
    bases = tuple(choose_basis(w.values, w.grid, step) for w in plain)
    weights = [
        replace(weight, values=basis.analyze(weight.values))
        for weight, basis in zip(plain, bases, strict=True)
    ]
    return _Problem(container, lay_out(weights), bases, exact_side)


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


def _for_size(problem: _Problem, size: int, progress: Progress | None) -> Rounded:
    """Return the finest rounding whose file takes at most size bytes."""
    cells = problem.cells
    zero = Rounded(1.0, np.zeros(cells.segments.shape, np.int32), 0.0, 0.0)
    least = lnx.estimate(_assemble(problem, zero)).file
    if size < least:
        raise UsageError(
            f"a file of {size:,} bytes cannot be had: the smallest takes {least:,}"
        )

    def size_of(rounded: Rounded) -> int:
        try:
            return lnx.estimate(_assemble(problem, rounded)).file
        except lnx.ContentError:  # so fine that tables do not hold the symbols
            return size + 1

    limit = size
    for _ in range(MOST_CORRECTIONS):
        found = find_size(cells, size_of, limit, progress) or zero
        excess = len(lnx.dumps(_assemble(problem, found))) - size
        if excess <= 0:
            return found
        limit -= excess + 1  # streams end in whole words, which estimates do not know
    return zero


def _assemble(problem: _Problem, rounded: Rounded) -> lnx.Container:
    """Put latents in the places of weights, and round what is beside them."""
    decoders: list[NDArray[np.float32]] = []
    latents: dict[str, tuple[Indices, int]] = {}
    short = rounded.snr < SHORT_UP_TO
    split = problem.cells.split(rounded.indices)
    for weight, basis, indices in zip(
        problem.cells.weights, problem.bases, split, strict=True
    ):
        decoder = _decoder(basis, rounded.step / weight.gain, short)
        latents[weight.name] = indices, _index(decoders, decoder)
    bits = _side_bits(rounded.snr)
    tensors = [_made(t, latents, None if problem.exact_side else bits)
               for t in problem.container.tensors]  # fmt: skip
    return replace(problem.container, tensors=tuple(tensors), decoders=tuple(decoders))


def _made(
    tensor: lnx.Latent | lnx.Exact | lnx.Alias,
    latents: dict[str, tuple[Indices, int]],
    side_bits: int | None,
) -> lnx.Latent | lnx.Exact | lnx.Alias:
    if not isinstance(tensor, lnx.Exact):
        return tensor
    if tensor.name not in latents:
        small = len(tensor.shape) == 1 and side_bits is not None
        return round_side(tensor, side_bits or 0) if small else tensor
    indices, decoder = latents[tensor.name]
    kind = shortest_type(min(int(indices.min()), -1), int(indices.max()))
    return lnx.Latent(
        tensor.name,
        tensor.shape,
        np.ascontiguousarray(indices, kind),
        decoder,
        trellis=True,
        dtype=tensor.dtype,
    )


def _decoder(basis: Basis, step: float, short: bool) -> NDArray[np.float32]:
    if basis is IDENTITY or basis.matrix is None:
        return np.full((1, 1), step, np.float32)
    matrix = basis.matrix * np.float32(step)
    return matrix.astype(np.float16).astype(np.float32) if short else matrix


def _index(decoders: list[NDArray[np.float32]], decoder: NDArray[np.float32]) -> int:
    """Return the place of a decoder, which is added where it is new."""
    for place, known in enumerate(decoders):
        if np.array_equal(known, decoder):
            return place
    decoders.append(decoder)
    return len(decoders) - 1


def _side_bits(snr: float) -> int:
    """Return the mantissa bits of norms and biases: 8 dB better than the weights.

    Rounding to m bits after the leading one gives 14.5 + 6.02 m dB.
    """
    return int(np.clip(np.ceil((snr + 8 - 14.5) / 6.02), 2, 15))


def _measure(before: lnx.Container, after: lnx.Container) -> float | None:
    """Return the SNR in dB of the tensors that count, or None where nothing is lost."""
    signal = error = 0.0
    for tensor in before.tensors:
        if isinstance(tensor, lnx.Exact) and is_measured(tensor):
            values = floats_of(tensor)
            signal += float(np.square(values, dtype=np.float64).sum())
            made = after[tensor.name]
            if isinstance(made, lnx.Latent):
                again = lnx.Exact("", made.dtype, made.shape, _bytes_of(made, after))
                lost = values - floats_of(again)
                error += float(np.square(lost, dtype=np.float64).sum())
    return None if not error else 10 * float(np.log10(signal / error))
