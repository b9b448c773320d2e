"""Latents that an input has already: kept where that is as small as was asked."""

import lnx
from lilnetx_cli.compression.lossy import fits
from lilnetx_cli.compression.record import Quality


def needs_no_loss(trained: lnx.Container, size: int) -> bool:
    """Tell whether a container with latents, kept to the bit, takes at most size bytes.

    Decoded weights have far more different numbers than latents, and take more bytes.
    """
    latents = any(isinstance(tensor, lnx.Latent) for tensor in trained.tensors)
    return latents and fits(trained, size)


def smaller(
    trained: lnx.Container, made: lnx.Container, quality: Quality
) -> tuple[lnx.Container, Quality]:
    """Return what was made of a container, or that itself where it takes no more."""
    if needs_no_loss(trained, len(lnx.dumps(made))):
        return trained, Quality(None, lossless=True)
    return made, quality
