"""The learning rate over a run."""

import math


def cosine(step: int, steps: int, warmup: float) -> float:
    """Return the factor for a step: linear from 0 over the warm-up, then a cosine.

    `warmup` is a share of the steps. Source: Loshchilov and Hutter 2017, equation 5,
    one period without restarts.
    """
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    progress = (step - rising) / max(1, steps - rising)
    return 0.5 * (1 + math.cos(math.pi * progress))
