"""Containers of exact tensors, and what of them was lost on the way."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

import lnx
from lilnetx_cli.compression.selection import floats_of, is_measured
from lnx.tensors.container import elements


def dense_container(container: lnx.Container) -> lnx.Container:
    """Return a container with every tensor exact: latents decoded."""
    tensors = [
        lnx.Exact(t.name, t.dtype, t.shape, bytes_of(t, container))
        if isinstance(t, lnx.Latent)
        else t
        for t in container.tensors
    ]
    return replace(container, tensors=tuple(tensors), decoders=())


def bytes_of(tensor: lnx.Latent, container: lnx.Container) -> NDArray[np.uint8]:
    """Return the elements of a latent tensor, decoded."""
    array = np.ascontiguousarray(lnx.rebuild(tensor, container))
    return array.reshape(-1).view(np.uint8)


def parameters(container: lnx.Container) -> int:
    """Return the number of elements of all tensors; aliases repeat nothing."""
    return sum(
        elements(t.shape) for t in container.tensors if not isinstance(t, lnx.Alias)
    )


def dense_bytes(container: lnx.Container) -> int:
    """Return the bytes of all tensors of a container of exact ones."""
    return sum(len(t.data) for t in container.tensors if isinstance(t, lnx.Exact))


def measure_snr(before: lnx.Container, after: lnx.Container) -> float | None:
    """Return the SNR in dB of the tensors that count, or None where nothing is lost."""
    signal = error = 0.0
    for tensor in before.tensors:
        if isinstance(tensor, lnx.Exact) and _counts(tensor, after):
            values = floats_of(tensor)
            signal += float(np.square(values, dtype=np.float64).sum())
            made = after[tensor.name]
            if isinstance(made, lnx.Latent):
                again = lnx.Exact("", made.dtype, made.shape, bytes_of(made, after))
                lost = values - floats_of(again)
                error += float(np.square(lost, dtype=np.float64).sum())
    return None if not error else 10 * float(np.log10(signal / error))


def _counts(tensor: lnx.Exact, after: lnx.Container) -> bool:
    """Tell whether the SNR counts a tensor: of those it is said of, or quantized."""
    return is_measured(tensor) or isinstance(after[tensor.name], lnx.Latent)
