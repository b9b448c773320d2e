"""Containers like those of trained networks, made from random integers."""

from dataclasses import dataclass

import numpy as np

import lnx


@dataclass(frozen=True)
class Kind:
    """What latents look like: width of a Laplacian, share of zero slices, slice."""

    name: str
    spread: float
    zero: float
    length: int


TWO_BITS = Kind("2 bits/weight, 3x3", 0.7, 0.0, 9)
TWO_BITS_SINGLE = Kind("2 bits/weight, 1x1", 0.7, 0.0, 1)
TENTH = Kind("0.1 bits/weight, 3x3", 0.33, 0.93, 9)
TENTH_SINGLE = Kind("0.1 bits/weight, 1x1", 0.113, 0.0, 1)
KINDS = (TWO_BITS, TWO_BITS_SINGLE, TENTH, TENTH_SINGLE)

# Shares of the weights that layers of a network have, the largest a quarter.
SHARES = (1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 34)


def make_network(kind: Kind, weights: int, seed: int = 0) -> lnx.Container:
    """Return a container with about that many weights."""
    rng = np.random.default_rng(seed)
    tensors: list[lnx.Latent | lnx.Exact] = []
    for number, share in enumerate(SHARES):
        rows = max(1, weights * share // sum(SHARES) // kind.length)
        noise = rng.laplace(size=(rows, kind.length)).astype(np.float32)
        symbols = np.clip(np.rint(noise * kind.spread), -100, 100).astype(np.int8)
        symbols[rng.random(rows) < kind.zero] = 0
        name = f"layer{number // 3}.{number % 3}"
        tensors.append(lnx.Latent(f"{name}.conv.weight", symbols.shape, symbols, 0))
        norm = rng.normal(1, 0.1, 64).astype("<f2").astype("<f4")
        data = norm.view(np.uint8)
        tensors.append(lnx.Exact(f"{name}.bn.weight", lnx.DType.F32, (64,), data))
    decoder = rng.normal(size=(kind.length, kind.length)) * 0.05
    numbers = decoder.astype(np.float16).astype(np.float32)
    return lnx.Container(tuple(tensors), (numbers,))
