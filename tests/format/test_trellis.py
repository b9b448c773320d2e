"""The bulk decoder of the trellis against its machine, cell by cell."""

import numpy as np
import pytest

from lnx import spec
from lnx.tensors.trellis import expand


def moved(state, parity):
    a, b, c, d, e, f = state
    return a ^ f ^ parity, a, b, c, d, e


def walked(indices):
    """Return what indices stand for, one by one."""
    values, state = [], (0,) * 6
    for place, index in enumerate(indices):
        if place % spec.TRELLIS_SEGMENT == 0:
            state = (0,) * 6
        index, second = int(index), state[1] ^ state[3]
        values.append(2 * index - second * int(np.sign(index)))
        state = moved(state, index & 1)
    return values


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1023, 1024, 1025, 2500])
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
def test_all_cells_at_once_give_what_the_machine_gives(count, dtype):
    indices = np.random.default_rng(count).integers(-3, 4, count).astype(dtype)
    assert expand(indices).tolist() == walked(indices)


def test_extreme_indices_do_not_wrap():
    indices = np.array([-128, 127, -128, 1], np.int8)
    assert expand(indices).tolist() == walked(indices)


def test_shapes_stay():
    indices = np.arange(-30, 30).reshape(6, 10)
    assert expand(indices).shape == (6, 10)
    assert expand(indices).ravel().tolist() == walked(indices.ravel())
