"""Containers for the tests, made from integers."""

import os
from pathlib import Path

import numpy as np

import lnx

# For another interpreter, which is to find these tests and lnx.
ROOT = Path(__file__).parents[2]
PATHS = [str(ROOT), str(Path(lnx.__file__).parents[1])]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}


def decoder(size, seed=0):
    """A float16-valued matrix."""
    numbers = np.random.default_rng(seed).normal(size=(size, size)) * 0.1
    return numbers.astype(np.float16).astype(np.float32)


def latents(rows, columns, seed=0, spread=0.7, zero=0.5):
    """Laplacian integers, a share of the rows all zero."""
    rng = np.random.default_rng(seed)
    symbols = np.rint(rng.laplace(size=(rows, columns)) * spread).astype(np.int32)
    symbols[rng.random(rows) < zero] = 0
    return symbols


def exact(name, array, dtype):
    """An exact tensor from a numpy array."""
    data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
    return lnx.Exact(name, dtype, array.shape, data)


def small_container():
    """One of everything, a few hundred bytes as a file."""
    rng = np.random.default_rng(7)
    norm = rng.normal(size=8).astype(np.float16).astype("<f4")
    tensors = (
        lnx.Latent("conv.weight", (8, 4, 3, 3), latents(32, 9), 0),
        lnx.Latent("fc.weight", (5, 8), latents(40, 1, seed=3, zero=0.0), 1),
        lnx.Alias("head.weight", "fc.weight"),
        exact("norm.weight", norm, lnx.DType.F32),
        exact("norm.running_mean", np.zeros(8, "<f4"), lnx.DType.F32),
        exact("steps", np.array(17, "<i8"), lnx.DType.I64),
        exact("empty", np.zeros((0, 3), "<f4"), lnx.DType.F32),
    )
    decoders = (decoder(9), np.full((1, 1), 0.25, np.float32))
    return lnx.Container(tensors, decoders, {"name": "tiny", "args": {"width": 1}})


def assert_equal(one, other):
    """Compare two containers to the bit."""
    assert [t.name for t in one.tensors] == [t.name for t in other.tensors]
    for mine, yours in zip(one.tensors, other.tensors, strict=True):
        assert type(mine) is type(yours)
        if isinstance(mine, lnx.Latent):
            assert mine.shape == yours.shape
            assert mine.decoder == yours.decoder
            np.testing.assert_array_equal(mine.symbols, yours.symbols)
        elif isinstance(mine, lnx.Exact):
            assert (mine.shape, mine.dtype) == (yours.shape, yours.dtype)
            np.testing.assert_array_equal(mine.data, yours.data)
        else:
            assert mine == yours
    for mine, yours in zip(one.decoders, other.decoders, strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert one.architecture == other.architecture
    assert one.training == other.training
    assert one.metadata == other.metadata
