"""Scale classes: cells of like spread share a table, wherever they stand.

The expected size of a cell is the product of a row's, a column's and a place's scale,
each a power of the square root of two: 2 ** ((r + c + p) / 2). The class of a cell is
that sum, cut to CLASSES classes; it means the same in every tensor.

Legend: O output channels, I input channels, L weights in a slice.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lnx import spec

Levels = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Scales:
    """The scales of one tensor, in half octaves.

    Attributes:
        rows: (O,) of the first dimension.
        columns: (I,) of the slices of a row; all zero in the first where L is all.
        places: (L,) of the weights of a slice.
    """

    rows: Levels
    columns: Levels
    places: Levels

    @property
    def spread(self) -> int:
        """Half octaves between the largest scale of a cell and the smallest."""
        axes = (self.rows, self.columns, self.places)
        return sum(int(x.max()) - int(x.min()) for x in axes if len(x))

    @property
    def stored_rows(self) -> NDArray[np.bool_]:
        """Which rows have a scale, and not the mark of all zeros; (O,)."""
        stored: NDArray[np.bool_] = self.rows != spec.ZERO_SCALE
        return stored

    def numbers(self) -> NDArray[np.int8]:
        """Return rows, columns and places, one behind the other; (O + I + L,)."""
        return np.concatenate((self.rows, self.columns, self.places))

    @classmethod
    def of(cls, numbers: NDArray[np.int8], grid: tuple[int, int, int]) -> Self:
        """Return the scales that `numbers` were made from."""
        rows, columns, _ = grid
        return cls(
            numbers[:rows], numbers[rows : rows + columns], numbers[rows + columns :]
        )

    def classes(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the class of each cell of slices start to stop; (N, L)."""
        slices = np.arange(start, stop)
        rows = self.rows[slices // len(self.columns)].astype(np.int16)
        rows += self.columns[slices % len(self.columns)]
        sums = rows[:, None] + self.places  # (N, L)
        classes: NDArray[np.uint8] = np.clip(
            sums - spec.LEAST_CLASS, 0, spec.CLASSES - 1
        ).astype(np.uint8)
        return classes


def grid_of(shape: tuple[int, ...], length: int) -> tuple[int, int, int]:
    """Return (O, I, L) of a tensor whose slices hold length cells; O * I * L cells."""
    cells = int(np.prod(shape, dtype=np.int64))
    rows = shape[0] if len(shape) > 1 else 1
    if not cells or rows * length > cells or cells % (rows * length):
        rows = 1
    return rows, cells // (rows * length) if cells else 0, length
