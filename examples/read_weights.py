"""Read the weights of a .lnx file with numpy and constriction alone.

    python read_weights.py model.lnx

Without an argument it makes a small file first, for the sake of its test.
"""

import sys

import numpy as np

import lnx


def example() -> str:
    """Write a container of one layer, made by hand, and return its path."""
    symbols = np.random.default_rng(0).integers(-2, 3, (32, 9)).astype(np.int32)
    layer = lnx.Latent("conv.weight", (8, 4, 3, 3), symbols, decoder=0)
    decoder = np.eye(9, dtype=np.float32) / 8
    lnx.save(lnx.Container((layer,), (decoder,)), "example.lnx")
    return "example.lnx"


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else example()
    for name, array in lnx.arrays(path).items():
        print(f"{name:<36}{array.dtype!s:<10}{array.shape}")


if __name__ == "__main__":
    main()
