"""Write the golden files again: python -m tests.format.regenerate

Their contents are integers written here, so all but packed bytes must be the same
everywhere.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

import lnx
from lnx.tensors.cosine import cosine_matrix
from lnx.tensors.reflections import make_reflections

FOLDER = Path(__file__).parent / "golden"
LONG = 10_000


def integers(rows, columns, step):
    """A fixed pattern of small integers with zero rows, no random numbers."""
    index = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
    symbols = (index * index * step + index) % 7 - 3
    symbols[symbols.sum(axis=1) % 3 == 0] = 0
    return symbols.astype(np.int32)


def golden_containers():
    """Return the golden containers by name."""
    matrix = (np.arange(81, dtype=np.float32).reshape(9, 9) - 40) / 64
    ones = np.arange(24, dtype="<i8").view(np.uint8)
    norm = (np.arange(12, dtype="<f4") / 8).view(np.uint8)
    whole = lnx.Container(
        (
            lnx.Latent("a.weight", (6, 4, 3, 3), integers(24, 9, 3), 0),
            lnx.Latent("b.weight", (7, 5), integers(35, 1, 5), 1),
            lnx.Alias("c.weight", "b.weight"),
            lnx.Exact("n.weight", lnx.DType.F32, (12,), norm),
            lnx.Exact("n.count", lnx.DType.I64, (24,), ones),
            lnx.Exact("n.zero", lnx.DType.F32, (5,), np.zeros(20, np.uint8)),
        ),
        (matrix, np.full((1, 1), 0.125, np.float32)),
        {"name": "golden", "args": {"width": 2}},
        {"accuracy": 0.5},
    )
    return {
        "empty": lnx.Container(()),
        "whole": whole,
        "mixed": mixed(),
        "parts": parts(),
        "quantized": quantized(),
        "pruned": pruned(),
    }


def mixed():
    """Masks, wide latents, held types, odd shapes: what the other file leaves out."""
    sparse = integers(200, 4, 3)
    sparse[np.arange(200) % 9 > 0] = 0
    wide = (np.arange(64, dtype=np.int32) ** 5).reshape(64, 1) * (-1) ** np.arange(64)[
        :, None
    ].astype(np.int32)
    skewed = (np.arange(400) % 97 == 0).astype(np.int8).reshape(400, 1)
    planes = (np.arange(300, dtype="<u4") * 2654435761 % 251).astype("<f4")
    double = np.arange(20, dtype="<f8") / 3
    spread = np.arange(250, dtype="<u4") * np.uint32(2654435761)
    spread = spread & 0x807FFFFF | (spread >> 8) % 7 + 120 << 23
    types = lnx.DType
    return lnx.Container(
        (
            lnx.Latent("sparse", (10, 20, 2, 2), sparse, 0),
            lnx.Latent("wide", (64,), wide, 1),
            lnx.Latent("skewed", (20, 20), skewed, 1),
            lnx.Latent("dead", (5, 4), np.zeros((5, 4), np.int8), 0),
            lnx.Latent("nothing", (0, 4), np.zeros((0, 4), np.int8), 0),
            held("bytes", types.F32, planes),
            held("double", types.F64, double),
            held("halves", types.F64, np.round(double * 4) / 4),
            held("brain", types.BF16, np.arange(16256, 16300, dtype="<u2")),
            held("turned", types.F32, spread.view("<f4")),
            held("turned brain", types.BF16, (spread >> 16).astype("<u2")),
            held("flags", types.BOOL, (np.arange(40) % 3 == 0).astype("u1")),
            held("scalar", types.I64, np.array(-5, "<i8")),
            held("complex", types.C64, np.arange(6, dtype="<f4"), (3,)),
            held("none", types.F16, np.zeros((2, 0), "<f2")),
            lnx.Alias("tied", "sparse"),
        ),
        (np.eye(4, dtype=np.float32) / 3, np.full((1, 1), 0.1, np.float32)),
        None,
        {"note": "ü"},
    )


def parts():
    """Several chunks in each section, and what the other files leave out."""
    masked = integers(150_000, 2, 3)
    masked[np.arange(150_000) % 11 > 0] = 0
    other = integers(90_000, 2, 5)
    other[np.arange(90_000) % 7 > 0] = 0
    wide = ((np.arange(30) - 15) * 977).astype(np.int16).reshape(30, 1)
    noise = (np.arange(9000, dtype="<u8") * 2654435761 % 65521 >> 3).astype("<u2")
    types = lnx.DType
    return lnx.Container(
        (
            lnx.Latent("masked", masked.shape, masked, 0),
            lnx.Latent("other", other.shape, other, 0),
            lnx.Latent("wide", (30,), wide, 1),
            lnx.Latent("zeros", (140_000,), np.zeros((140_000, 1), np.int8), 1),
            lnx.Latent("pairs", (6, 2), integers(6, 2, 3), 1),
            held("noise", types.U16, noise),
            held("half", types.F32, (np.arange(50) / 8 + 0.001953125).astype("<f4")),
            held("fill", types.F32, np.full(9, 1.5, "<f4")),
        ),
        (np.array([[0.5, -0.25], [1, 2]], np.float32), np.full((1, 1), -0.5, "f4")),
    )


def quantized():
    """What finished weights need: trellis, scale classes, a cosine, other types."""
    spread = np.outer(1 + np.arange(24) % 5, 1 + np.arange(18) % 3)
    uneven = (integers(432, 4, 7) * spread.reshape(-1, 1)).astype(np.int16)
    square = (
        integers(40 * 30, 1, 11) * (1 + np.arange(1200) // 30 % 6)[:, None]
    ).astype("i1")
    vectors = ((np.arange(24).reshape(2, 12) * 37 + 5) % 251 - 125).astype(np.int8)
    cosines = np.array([0.25, 0.5, 0.46, 0.35, 0.19, 0], np.float32)
    types = lnx.DType
    triangle = np.concatenate([np.arange(-n, n + 1) for n in range(2, 40, 3)])
    scale = (triangle * 0.125 + 3).astype("<f4")
    return lnx.Container(
        (
            held("scale", types.F32, scale),
            held("shift", types.F32, (triangle[::2] / 64).astype("<f4")),
            lnx.Latent("bytes", (8, 3), integers(8, 3, 5), 3),
            lnx.Latent("uneven", (24, 18, 4), uneven, 0, True),
            lnx.Latent("square", (40, 30), square, 1, True, types.BF16),
            lnx.Latent("half", (40, 30), square, 1, False, types.F16),
            lnx.Latent("double", (7,), integers(7, 1, 3), 1, True, types.F64),
            lnx.Latent("dense", (30, 12), integers(30, 12, 5), 2, True),
        ),
        (
            cosine_matrix(cosines),
            np.full((1, 1), 0.015625, np.float32),
            make_reflections(np.float32(0.03125), vectors),
            (np.arange(9, dtype=np.float32).reshape(3, 3) * 15 + 7) / 1024,
        ),
    )


def pruned():
    """Rows and columns that are all zero, and norms without what belongs to them."""
    cells = np.arange(24 * 20 * 9, dtype=np.int64)
    symbols = np.where(cells * cells * 7 % 101 < 12, cells % 3 - 1, 0).astype(np.int8)
    symbols = symbols.reshape(24, 20, 9)
    symbols[::3] = 0
    symbols[:, 1::2] = 0
    alive = np.arange(24) % 3 > 0
    numbers = (np.arange(24) * 7 % 31 - 9) / 16
    types = lnx.DType
    return lnx.Container(
        (
            lnx.Latent("conv.weight", (24, 20, 3, 3), symbols.reshape(-1, 9), 0),
            held("norm.weight", types.F32, np.where(alive, numbers, 0).astype("<f4")),
            held(
                "norm.bias", types.F32, np.where(alive, numbers[::-1], 0).astype("<f4")
            ),
            held("other", types.F32, (np.arange(24) / 8).astype("<f4")),
        ),
        (np.eye(9, dtype=np.float32) / 4,),
    )


def held(name, dtype, array, shape=None):
    """An exact tensor of the bytes of an array."""
    data = np.frombuffer(array.tobytes(), np.uint8)
    return lnx.Exact(name, dtype, array.shape if shape is None else shape, data)


def values_of(container):
    """Return what a reader must get, as plain integers and names."""
    return {
        tensor.name: {"shape": list(tensor.array.shape), **shown(tensor.array)}
        for tensor in lnx.rebuild_all(container)
    }


def shown(array):
    """Return the bytes of an array in hexadecimal, or of a long one their SHA-256."""
    data = array.tobytes()
    if len(data) > LONG:
        return {"sha256": hashlib.sha256(data).hexdigest()}
    return {"bytes": data.hex()}


def main():
    """Write every golden file and its values."""
    FOLDER.mkdir(exist_ok=True)
    for name, container in golden_containers().items():
        (FOLDER / f"{name}.lnx").write_bytes(lnx.dumps(container))
        text = json.dumps(values_of(container), indent=1) + "\n"
        (FOLDER / f"{name}.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
