"""Rounded weights -> a container: latents, decoders, and what is beside them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

import lnx
from lilnetx_cli.compression.problem import Problem
from lilnetx_cli.compression.selection import round_side_tensor
from lilnetx_cli.quantization.bases import IDENTITY, Basis
from lilnetx_cli.quantization.cells import Indices
from lilnetx_cli.quantization.rounding import Rounded
from lnx.dtypes import shortest_type
from lnx.tensors.reflections import make_reflections

HALF_ERROR = 2.0**-11  # of the largest entry, which float16 keeps in its usual range
LEAST_SIDE_BITS = 3
SHORT_UP_TO = 50.0  # dB; finer steps need decoders in float32


def assemble(problem: Problem, rounded: Rounded) -> lnx.Container:
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
        return round_side_tensor(tensor, side_bits or 0) if small else tensor
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
    if basis.vectors is not None:
        return make_reflections(np.float32(step), basis.vectors)
    if basis is IDENTITY or basis.matrix is None:
        return np.full((1, 1), step, np.float32)
    matrix = basis.matrix * np.float32(step)
    with np.errstate(over="ignore"):
        half = matrix.astype(np.float16).astype(np.float32)
    near = np.abs(half - matrix).max() <= HALF_ERROR * np.abs(matrix).max()
    return half if short and near else matrix


def _index(decoders: list[NDArray[np.float32]], decoder: NDArray[np.float32]) -> int:
    """Return the place of a decoder, which is added where it is new."""
    for place, known in enumerate(decoders):
        if np.array_equal(known, decoder):
            return place
    decoders.append(decoder)
    return len(decoders) - 1


def _side_bits(snr: float) -> int:
    """Return the mantissa bits of norms and biases: 8 dB better than the weights.

    Rounding to m bits after the leading one gives 14.5 + 6.02 m dB. Fewer than
    LEAST_SIDE_BITS save half a percent of a file and cost points of accuracy.
    """
    return int(np.clip(np.ceil((snr + 8 - 14.5) / 6.02), LEAST_SIDE_BITS, 15))
