"""The last step to a wanted size: which latents next to zero become zero."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.latents import latent_weights
from lilnetx_cli.nn.vanishing import with_one_left

# Each latent that is changed now, without training, costs accuracy: 1 % of the bytes of
# a small GPT took 3 % off its perplexity. So no more go than must.
AIM = 0.997
# Latents nearer to zero than the threshold become zero; 1/2 is plain rounding. Less
# would bring latents to life that the network was not trained with: a MobileNet-V2 lost
# 1.2 points by 3 % more bytes.
SMALLEST, LARGEST = 0.5, 64.0
BISECTIONS = 16
NEAR = 0.002  # ends the bisection
ROUNDS = 4  # of which the file nearest to the size is kept
MOST_ROUNDS = 20  # where all files so far were too large
WORTH = 0.98  # of the size ends them early

FinishedT = TypeVar("FinishedT")
Sizer = Callable[[nn.Module], int]
Finisher = Callable[[nn.Module], tuple[int, FinishedT]]


def fit_size(
    model: nn.Module, target: int, estimate: Sizer, finish: Finisher[FinishedT]
) -> tuple[int, FinishedT]:
    """Change which latents round to zero until the file has a size, in place.

    `estimate` returns the bytes of a file fast; `finish` makes the network that ships
    and its exact bytes, slowly, and leaves the latents as they are. Returns what
    `finish` gives in the end: at most the target. A file that is smaller already stays
    as it is.
    """
    kept = {name: latent.detach().clone() for name, _, latent in latent_weights(model)}
    best = last = finish(model)
    wanted = float(estimate(model))
    for number in range(MOST_ROUNDS):
        enough = number >= ROUNDS or best[0] >= WORTH * target or number == 0
        if best[0] <= target and enough:
            break
        wanted += AIM * target - last[0]
        _search(model, kept, wanted, estimate)
        last = finish(model)
        if best[0] > target or best[0] < last[0] <= target:
            best = last
    return best


def _search(
    model: nn.Module, kept: Mapping[str, Tensor], wanted: float, estimate: Sizer
) -> None:
    """Apply a threshold whose file has at most the wanted bytes, and hardly fewer."""
    low, high = SMALLEST, max(LARGEST, _size(kept))
    round_to_zero(model, kept, low)
    if estimate(model) <= wanted:
        return
    for _ in range(BISECTIONS):
        middle = float((low * high) ** 0.5)
        round_to_zero(model, kept, middle)
        size = estimate(model)
        if (1 - NEAR) * wanted <= size <= wanted:
            return
        low, high = (low, middle) if size <= wanted else (middle, high)
    round_to_zero(model, kept, high)


def _size(kept: Mapping[str, Tensor]) -> float:
    """Return more than the largest latent: with that threshold all are zero."""
    return 2 * max(
        (float(x.abs().max()) for x in kept.values() if x.numel()), default=0
    )


@torch.no_grad()
def round_to_zero(
    model: nn.Module, kept: Mapping[str, Tensor], threshold: float
) -> None:
    """Give a model the kept latents, those below a threshold rounding to zero.

    Others round as before, and the largest of each weight stays.
    """
    for name, _, latent in latent_weights(model):
        values = kept[name]
        fewer = torch.where(values.abs() < threshold, 0.0, values)
        latent.copy_(with_one_left(fewer, values))
