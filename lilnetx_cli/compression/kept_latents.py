"""Latents that an input has already: kept where that is as small as was asked."""

import lnx
from lilnetx_cli.compression.lossy import fits
from lilnetx_cli.compression.record import Quality


def has_latents(container: lnx.Container) -> bool:
    """Tell whether any weight of a container is latents."""
    return any(isinstance(tensor, lnx.Latent) for tensor in container.tensors)


def needs_no_loss(trained: lnx.Container, size: int) -> bool:
    """Tell whether a container with latents, kept to the bit, takes at most size bytes.

    Decoded weights have far more different numbers than latents, and take more bytes.
    """
    return has_latents(trained) and fits(trained, size)


def smaller(
    trained: lnx.Container, made: lnx.Container, quality: Quality
) -> tuple[lnx.Container, Quality]:
    """Return what was made of a container, or that itself where it takes no more."""
    if not has_latents(trained) or not fits(trained, len(lnx.dumps(made))):
        return made, quality
    before = None if quality.accuracy is None else quality.accuracy[0]
    accuracy = None if before is None else (before, before)
    return trained, Quality(None, lossless=True, accuracy=accuracy)
