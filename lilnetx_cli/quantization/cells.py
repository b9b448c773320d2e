"""All weights of a network as one array of segments, and back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnx import spec

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Weight:
    """One tensor to quantize.

    Attributes:
        name: key in the state dict.
        grid: (O, I, L), output channels, input channels, weights in a slice.
        values: (O * I, L) float32, times the gain, in the basis of its slices.
        gain: how much finer than the common step its own is; 1 or more.
        outliers: energy of values so large that the others would vanish beside them.
    """

    name: str
    grid: tuple[int, int, int]
    values: Floats
    gain: float = 1.0
    outliers: float = 0.0


@dataclass(frozen=True, eq=False)
class Cells:
    """Weights in segments of the trellis; a tensor's last segment ends in zeros.

    Attributes:
        weights: in order; their values are those of the segments.
        starts: first segment of each weight.
        segments: (S, T) float32.
    """

    weights: tuple[Weight, ...]
    starts: tuple[int, ...]
    segments: Floats

    @property
    def gains(self) -> Floats:
        """The gain of each segment, (S, 1)."""
        stops = [*self.starts[1:], len(self.segments)]
        counts = [stop - start for start, stop in zip(self.starts, stops, strict=True)]
        gains = np.array([weight.gain for weight in self.weights], np.float32)
        return np.repeat(gains, counts)[:, None]

    @property
    def energy(self) -> float:
        """Sum of the squares of all weights, without gains and outliers."""
        total = 0.0
        for weight in self.weights:
            squares = float(np.square(weight.values, dtype=np.float64).sum())
            total += squares / weight.gain**2 - weight.outliers
        return total

    def split(self, segments: Indices) -> list[Indices]:
        """Cut (S, T) indices into the (N, L) of each weight."""
        flat = segments.reshape(-1)
        found = []
        for weight, start in zip(self.weights, self.starts, strict=True):
            at = start * spec.TRELLIS_SEGMENT
            cells = flat[at : at + weight.values.size]
            found.append(cells.reshape(weight.values.shape))
        return found


def lay_out(weights: Sequence[Weight]) -> Cells:
    """Put weights one behind the other, each from a new segment on."""
    segment = spec.TRELLIS_SEGMENT
    counts = [-(-weight.values.size // segment) for weight in weights]
    starts = np.concatenate(([0], np.cumsum(counts)))
    segments = np.zeros((int(starts[-1]), segment), np.float32)
    flat = segments.reshape(-1)
    for weight, start in zip(weights, starts, strict=False):
        at = int(start) * segment
        flat[at : at + weight.values.size] = weight.values.reshape(-1)
    return Cells(tuple(weights), tuple(int(s) for s in starts[:-1]), segments)
