"""Linear decoders: from integer latents to weights, for training and for shipping.

Legend: N slices (rows), L weights in a slice; a decoder is (L, L), or (1, 1) for a
scalar that scales slices of any length.
"""

import math

import torch
from torch import Tensor


def decode_matmul(rows: Tensor, decoder: Tensor) -> Tensor:
    """Return rows @ decoder fast, for training; (N, L) in and out."""
    if decoder.numel() == 1:
        return rows * decoder.reshape(())
    return rows @ decoder


def decode_exact(rows: Tensor, decoder: Tensor) -> Tensor:
    """Return rows @ decoder in the fixed order that every reader of a file uses.

    Float32 products are added to +0 one at a time, k = 0, 1, ..., L - 1, each as its
    own rounded operation: `formats/SPEC.md`, Reconstruction. (N, L) in and out.
    """
    # Through integers: rounding also gives -0.0, which a file cannot hold.
    rows = rows.to(device="cpu", dtype=torch.int32).to(torch.float32)
    decoder = decoder.detach().to(device="cpu", dtype=torch.float32)
    if decoder.numel() == 1:
        return rows * decoder.reshape(()) + 0.0
    total = rows[:, :1] * decoder[0] + 0.0  # (N, L)
    for k in range(1, decoder.shape[0]):
        total = total + rows[:, k : k + 1] * decoder[k]
    return total


def cosine_basis(kernel: tuple[int, ...]) -> Tensor:
    """Return the orthonormal separable DCT-II of a kernel, (L, L), rows are atoms.

    The decoder starts from it: an orthonormal map keeps the variance of the weights,
    and smooth kernels need few of its atoms.
    """
    basis = torch.ones(1, 1)
    for size in kernel:
        index = torch.arange(size, dtype=torch.float32)
        atoms = torch.cos(math.pi / size * (index + 0.5) * index[:, None])
        atoms = atoms * math.sqrt(2.0 / size)
        atoms[0] *= math.sqrt(0.5)
        basis = torch.kron(basis, atoms)
    return basis
