"""What there is to say of a file that was compressed, in plain values."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lnx
from lilnetx_cli.measure.parts import parts_of
from lnx.tensors.cosine import cosine_numbers
from lnx.tensors.reflections import is_reflections


@dataclass(frozen=True)
class Quality:
    """How close a file is to the network that it was made from.

    Attributes:
        snr: of the weights in dB; None where nothing of them was lost.
        lossless: whether every bit of every tensor is kept.
        output_snr: of the outputs on the inputs in dB, where there are any.
        accuracy: of the dense network and of this one on labelled examples, as
            fractions, where there are any.
    """

    snr: float | None
    lossless: bool
    output_snr: float | None = None
    accuracy: tuple[float, float] | None = None


def bases_of(container: lnx.Container) -> dict[str, int]:
    """Return how many tensors have which basis; each has the one of the fewest bytes.

    identity: weights as they are. cosine, fitted: of kernels. reflected: of the rows of
    dense weights.
    """
    found = [
        _basis(container.decoders[tensor.decoder])
        for tensor in container.tensors
        if isinstance(tensor, lnx.Latent)
    ]
    return {name: found.count(name) for name in dict.fromkeys(sorted(found))}


def _basis(decoder: NDArray[np.float32]) -> str:
    if decoder.shape == (1, 1):
        return "identity"
    if is_reflections(decoder):
        return "reflected"
    return "fitted" if cosine_numbers(decoder) is None else "cosine"


def record_of(
    about: lnx.Summary, written: int, bases: dict[str, int], quality: Quality
) -> dict[str, Any]:
    """Return sizes in bytes and what became of the network."""
    parts = parts_of(about)
    before, after = quality.accuracy or (None, None)
    return {
        "dense_bytes": about.decoded_bytes,
        "output_bytes": written,
        "payload_bytes": parts.payload,
        "exact_weight_bytes": parts.exact_weights,
        "side_bytes": parts.side,
        "overhead_bytes": parts.overhead,
        "parameters": about.parameters,
        "bits_per_weight": 8 * written / max(1, about.parameters),
        "bases": bases,
        "lossless": quality.lossless,
        "snr_db": quality.snr,
        "output_snr_db": quality.output_snr,
        "accuracy_dense": before,
        "accuracy": after,
    }
