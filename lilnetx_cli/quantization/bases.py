"""Bases for the slices of a tensor: as they are, cosine, or fitted to them.

Long smooth kernels have most of their energy in few coefficients of an orthonormal
basis, which the file holds as the decoder of the tensor. The squared error is the same
in any of them. Source: the decoders of LilNetX (arXiv 2204.02965), here for finished
weights; the discrete cosine transform of Ahmed, Natarajan and Rao 1974.

Legend: N slices, L weights in a slice.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lilnetx_cli.quantization.cells import Floats
from lilnetx_cli.quantization.rates import MOST_SIZES, count_sizes, entropy_bits
from lnx.tensors.cosine import cosine_matrix
from lnx.write.fit_scales import fit_scales

LEAST_TAPS = 2
MOST_FITTED = 64  # a matrix of more taps costs more than it brings
MATRIX_BITS = 16  # of each number of a fitted basis
SAMPLE = 1 << 14  # slices that the second moments and the choice are taken from


@dataclass(frozen=True, eq=False)
class Basis:
    """A basis of slices.

    Attributes:
        name: identity, cosine or fitted.
        matrix: (L, L) float32, one vector a row; None for identity.
    """

    name: str
    matrix: Floats | None = None

    def analyze(self, values: Floats) -> Floats:
        """Return coefficients of slices; (N, L) in and out."""
        return values if self.matrix is None else values @ self.matrix.T


IDENTITY = Basis("identity")


def cosine_basis(taps: int) -> Basis:
    """Return the orthonormal cosine basis (DCT-II) of slices with taps weights."""
    angles = np.arange(taps + 1) * (np.pi / (2 * taps))
    numbers = np.concatenate(([np.sqrt(0.5)], np.cos(angles))) * np.sqrt(2 / taps)
    numbers[-1] = 0  # the cosine of a right angle
    return Basis("cosine", cosine_matrix(numbers.astype(np.float32)))


def fitted_basis(values: Floats) -> Basis:
    """Return the eigenvectors of the slices' second moments, largest first."""
    moments = values.T.astype(np.float64) @ values
    _, vectors = np.linalg.eigh(moments)
    short = vectors.T[::-1].astype(np.float16)  # what the file will hold
    return Basis("fitted", np.ascontiguousarray(short, np.float32))


def choose_basis(values: Floats, grid: tuple[int, int, int], step: float) -> Basis:
    """Return the basis whose coefficients cost the least at a step, itself included."""
    taps = values.shape[1]
    if taps < LEAST_TAPS:
        return IDENTITY
    stride = max(1, len(values) // SAMPLE)
    sample = values[::stride]
    share = len(values) / len(sample)
    bases = [(IDENTITY, 0), (cosine_basis(taps), MATRIX_BITS * taps)]
    if taps <= MOST_FITTED and len(sample) > taps:
        bases.append((fitted_basis(sample), MATRIX_BITS * taps * taps))
    own = grid if stride == 1 else (1, len(sample), taps)
    costs = [
        share * _cost(basis.analyze(sample), own, step) + extra
        for basis, extra in bases
    ]
    return bases[int(np.argmin(costs))][0]


def _cost(values: Floats, grid: tuple[int, int, int], step: float) -> float:
    """Return the ideal bits of coefficients rounded to multiples of two steps."""
    indices: NDArray[np.int32] = np.rint(values / (2 * step)).astype(np.int32)
    classes = fit_scales(indices, grid).classes(0, len(indices))
    most = min(MOST_SIZES, int(np.abs(indices).max(initial=0)))
    bits = entropy_bits(count_sizes(indices, classes, most))
    return bits + float(np.count_nonzero(indices))
