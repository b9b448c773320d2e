"""What the bytes of a file are for."""

from dataclasses import dataclass

import lnx


@dataclass(frozen=True)
class Parts:
    """Bytes of a file by what they are for; they add up to the file.

    Attributes:
        payload: latents and masks, entropy-coded.
        exact_weights: weights that are stored exactly, for want of latents.
        side: norms, biases and other exact tensors.
        overhead: header, names, hashes, tables and decoders.
    """

    payload: int
    exact_weights: int
    side: int
    overhead: int


def parts_of(about: lnx.Summary) -> Parts:
    """Return what a file is made of.

    Exact tensors are coded together: each counts with its share of that section.
    """
    sizes = about.sizes
    weights = sum(t.bytes for t in about.tensors if t.kind == "exact" and is_weight(t))
    weights = min(weights, sizes.side)
    return Parts(sizes.payload, weights, sizes.side - weights, sizes.overhead)


def is_weight(tensor: lnx.TensorSummary) -> bool:
    """Tell weights from norms, biases and buffers: floats of two or more dimensions."""
    if tensor.kind == "latent":
        return True
    floating = tensor.dtype.startswith(("F", "BF", "C"))
    return tensor.kind == "exact" and floating and len(tensor.shape) > 1
