"""Bases for the slices of a tensor: as they are, cosine, or fitted to them.

Long smooth kernels have most of their energy in few coefficients of an orthonormal
basis, which the file holds as the decoder of the tensor; rows of dense weights share
a few directions, which reflections put into columns. The squared error is the same
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
from lnx.tensors.reflections import reflect
from lnx.write.fit_scales import fit_scales

LEAST_TAPS = 2
MOST_FITTED = 64  # a matrix of more taps costs more than it brings
MATRIX_BITS = 16  # of each number of a fitted basis
REFLECTIONS = (1, 2, 4, 8)  # how many are tried
LEAST_REFLECTED = 16  # columns of a dense weight
REFLECTED_CELLS = 1 << 17  # of the rows that the choice is taken from
SAMPLE = 1 << 14  # slices that the second moments and the choice are taken from


@dataclass(frozen=True, eq=False)
class Basis:
    """A basis of slices.

    Attributes:
        name: identity, cosine, fitted or reflected.
        matrix: (L, L) float32, one vector a row; None for identity and reflections.
        vectors: (R, L) of the reflections that decode, None for other bases.
    """

    name: str
    matrix: Floats | None = None
    vectors: NDArray[np.int8] | None = None

    def analyze(self, values: Floats) -> Floats:
        """Return coefficients of slices; (N, L) in and out."""
        if self.vectors is not None:
            columns = np.array(values.T, np.float32, order="C")  # (L, N)
            reflect(columns, self.vectors[::-1].astype(np.float32))
            return np.ascontiguousarray(columns.T)
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


def choose_reflections(values: Floats, step: float) -> Basis:
    """Return reflections that pay for the rows of a dense weight, or the identity.

    values: (O, I). Each direction that rows share is reflected into a column.
    """
    rows, taps = values.shape
    stride = max(1, values.size // REFLECTED_CELLS)
    sample = values[::stride]
    share = rows / len(sample)
    vectors = _directions(sample if stride == 1 else values[: 4 * taps])
    bases = [IDENTITY] + [
        Basis("reflected", vectors=np.ascontiguousarray(vectors[:count][::-1]))
        for count in REFLECTIONS
    ]
    grid = (len(sample), 1, taps)
    costs = [
        share * _cost(basis.analyze(sample), grid, step) + 8 * taps * count
        for basis, count in zip(bases, (0, *REFLECTIONS), strict=True)
    ]
    return bases[int(np.argmin(costs))]


def _directions(values: Floats) -> NDArray[np.int8]:
    """Return the reflections that take the main directions of rows to columns.

    One after the other: the first is to be applied first. (R, L)
    """
    moments = values.T.astype(np.float64) @ values
    _, vectors = np.linalg.eigh(moments)
    main = np.ascontiguousarray(vectors[:, ::-1][:, : max(REFLECTIONS)], np.float32)
    found = np.zeros((max(REFLECTIONS), len(main)), np.int8)
    for number in range(len(found)):
        vector = main[:, number].copy()
        vector[:number] = 0  # what earlier reflections fill
        target = number + int(np.argmax(np.abs(vector[number:])))
        vector[target] += np.copysign(np.linalg.norm(vector), vector[target])
        found[number] = np.rint(vector * (127 / np.abs(vector).max()))
        reflect(main, found[number : number + 1].astype(np.float32))
    return found


def _cost(values: Floats, grid: tuple[int, int, int], step: float) -> float:
    """Return the ideal bits of coefficients rounded to multiples of two steps."""
    indices: NDArray[np.int32] = np.rint(values / (2 * step)).astype(np.int32)
    classes = fit_scales(indices, grid).classes(0, len(indices))
    most = min(MOST_SIZES, int(np.abs(indices).max(initial=0)))
    bits = entropy_bits(count_sizes(indices, classes, most))
    return bits + float(np.count_nonzero(indices))
