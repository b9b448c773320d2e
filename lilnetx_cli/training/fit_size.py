"""The last step to a wanted size: which latents become smaller, and how much."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.latents import LatentWeight, latent_weights
from lilnetx_cli.nn.vanishing import with_one_left

# Each latent that is changed now, without training, costs accuracy: 1 % of the bytes of
# a small GPT took 3 % off its perplexity. So no more change than must.
AIM = 0.997
# Bounds of the price of a bit, in squared steps, and what a step towards zero saves at
# least, in bits, so that at the highest price all latents are zero.
CHEAPEST = 1e-4
LEAST_SAVED = 0.01
BISECTIONS = 20
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
    """Apply a price whose file has at most the wanted bytes, and hardly fewer."""
    low, high = CHEAPEST, max(1.0, _size(kept) / LEAST_SAVED)
    round_at_price(model, kept, 0)
    if estimate(model) <= wanted:
        return
    for _ in range(BISECTIONS):
        middle = float((low * high) ** 0.5)
        round_at_price(model, kept, middle)
        size = estimate(model)
        if (1 - NEAR) * wanted <= size <= wanted:
            return
        low, high = (low, middle) if size <= wanted else (middle, high)
    round_at_price(model, kept, high)


def _size(kept: Mapping[str, Tensor]) -> float:
    """Return more than the largest latent."""
    return 2 * max(
        (float(x.abs().max()) for x in kept.values() if x.numel()), default=0
    )


@torch.no_grad()
def round_at_price(model: nn.Module, kept: Mapping[str, Tensor], price: float) -> None:
    """Give a model the kept latents, rounded by what their bits cost.

    Each becomes the integer next to it, that one nearer to zero, or zero: which has
    the smallest squared distance + price * bits. Never one farther from zero, which
    would bring latents to life that the network was not trained with: a MobileNet-V2
    lost 1.2 points by 3 % more bytes. The largest of each weight stays. Source:
    rate-distortion optimized quantization (Sullivan and Wiegand 1998).
    """
    for name, weight, latent in latent_weights(model):
        values = kept[name]
        rows = weight.rows(values)  # (N, L)
        nearest = rows.round()
        best, least = nearest, torch.full_like(rows, torch.inf)
        for found in (nearest, nearest - nearest.sign(), torch.zeros_like(rows)):
            cost = (rows - found).square() + price * _bits(weight, found)
            best = torch.where(cost < least, found, best)
            least = torch.minimum(cost, least)
        changed = torch.where(best == nearest, rows, best).view_as(values)
        latent.copy_(with_one_left(changed, values))


def _bits(weight: LatentWeight, integers: Tensor) -> Tensor:
    """Return what integers cost by the density of their group, (N, L) in and out.

    Made to rise with the distance from zero.
    """
    if not integers.numel():
        return integers
    reach = int(integers.abs().max())
    marks = torch.arange(reach + 1, device=integers.device, dtype=integers.dtype)
    marks = marks[:, None].expand(-1, integers.shape[1])  # (R + 1, L)
    right, left = (
        weight.group.density.bits(side * marks).cummax(0).values + LEAST_SAVED * marks
        for side in (1, -1)
    )
    index = integers.abs().long()
    return torch.where(integers < 0, left.gather(0, index), right.gather(0, index))
