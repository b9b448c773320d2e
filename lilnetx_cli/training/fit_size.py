"""The last step to a wanted size: which latents become smaller, and how much."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.density import FactorizedDensity
from lilnetx_cli.nn.latents import latent_weights
from lilnetx_cli.nn.vanishing import with_one_left

# Each latent that is changed now, without training, costs accuracy: 1 % of the bytes of
# a small GPT took 3 % off its perplexity. So no more change than must.
AIM = 0.997
# Bounds of the price of a bit, in effect times squared steps, and what a step towards
# zero saves at least, in bits, so that at the highest price all latents are zero.
CHEAPEST = 1e-4
LEAST_SAVED = 0.01
LEAST_EFFECT = 0.01  # of a latent on the loss, relative to the mean
ROWS_AT_ONCE = 2**18  # bounds the memory
BISECTIONS = 20
NEAR = 0.002  # ends the bisection
ROUNDS = 4  # of which the file nearest to the size is kept
MOST_ROUNDS = 20  # where all files so far were too large
WORTH = 0.98  # of the size ends them early

FinishedT = TypeVar("FinishedT")
Sizer = Callable[[nn.Module], int]
Finisher = Callable[[nn.Module], tuple[int, FinishedT]]


def fit_size(
    model: nn.Module,
    target: int,
    estimate: Sizer,
    finish: Finisher[FinishedT],
    effects: Mapping[str, Tensor],
) -> tuple[int, FinishedT]:
    """Make latents smaller until the file has a size, in place.

    `estimate` returns the bytes of a file fast; `finish` makes the network that ships
    and its exact bytes, slowly, and leaves the latents as they are; `effects` are those
    of `effects_on_loss`. Returns what `finish` gives in the end: at most the target. A
    file that is smaller already stays as it is.
    """
    kept = {name: latent.detach().clone() for name, _, latent in latent_weights(model)}
    best = last = finish(model)
    wanted = float(estimate(model))
    for number in range(MOST_ROUNDS):
        enough = number >= ROUNDS or best[0] >= WORTH * target or number == 0
        if best[0] <= target and enough:
            break
        wanted += AIM * target - last[0]
        _search(model, kept, wanted, estimate, effects)
        last = finish(model)
        if best[0] > target or best[0] < last[0] <= target:
            best = last
    return best


def effects_on_loss(model: nn.Module, optimizer: Any) -> dict[str, Tensor]:  # noqa: ANN401
    """Return about how much the square of a move of each latent adds to the loss.

    Relative to the mean, by name; the penalty is part of that loss. It is the root of
    the mean squared gradient, which Adam and RMSprop keep. The square itself, about the
    diagonal of the Fisher matrix, did no better. Latents without, as of SGD, are left
    out.
    """
    found = {}
    for name, _, latent in latent_weights(model):
        known = optimizer.state.get(latent) or {}
        squares = known.get("exp_avg_sq", known.get("square_avg"))
        if squares is not None and squares.shape == latent.shape:
            found[name] = squares.float().sqrt().to(latent.device)
    total = sum(float(x.sum()) for x in found.values())  # MPS has no float64
    if not 0 < total < math.inf:
        return {}
    mean = total / sum(x.numel() for x in found.values())
    return {name: x / mean + LEAST_EFFECT for name, x in found.items()}


def _search(
    model: nn.Module,
    kept: Mapping[str, Tensor],
    wanted: float,
    estimate: Sizer,
    effects: Mapping[str, Tensor],
) -> None:
    """Apply a price whose file has at most the wanted bytes, and hardly fewer."""
    largest = max((float(x.max()) for x in effects.values() if x.numel()), default=1)
    low, high = CHEAPEST, max(1.0, largest) * max(1.0, _size(kept) / LEAST_SAVED)
    round_at_price(model, kept, 0, effects)
    if estimate(model) <= wanted:
        return
    for _ in range(BISECTIONS):
        middle = float((low * high) ** 0.5)
        round_at_price(model, kept, middle, effects)
        size = estimate(model)
        if (1 - NEAR) * wanted <= size <= wanted:
            return
        low, high = (low, middle) if size <= wanted else (middle, high)
    round_at_price(model, kept, high, effects)


def _size(kept: Mapping[str, Tensor]) -> float:
    """Return more than the largest latent."""
    return 2 * max(
        (float(x.abs().max()) for x in kept.values() if x.numel()), default=0
    )


@torch.no_grad()
def round_at_price(
    model: nn.Module,
    kept: Mapping[str, Tensor],
    price: float,
    effects: Mapping[str, Tensor] | None = None,
) -> None:
    """Give a model the kept latents, rounded by what their bits cost.

    Each becomes its nearest integer, the next one towards zero, or zero, whichever has
    the smallest effect * squared distance + price * bits; an effect that is not given
    is 1. None grows beyond plain rounding, which would bring latents to life that the
    network was not trained with: a MobileNet-V2 lost 1.2 points by 3 % more bytes. One
    of each weight stays alive.
    Source: rate-distortion optimized quantization (Sullivan and Wiegand 1998).
    """
    for name, weight, latent in latent_weights(model):
        values = kept[name]
        changed = values
        if price and values.numel():
            reach = int(values.abs().max()) + 1
            prices = price * prices_of(weight.group.density, reach)
            effect = (effects or {}).get(name)
            effect = torch.ones_like(values) if effect is None else effect
            rows = torch.split(weight.rows(values), ROWS_AT_ONCE)
            their_effects = torch.split(weight.rows(effect), ROWS_AT_ONCE)
            pairs = zip(rows, their_effects, strict=True)
            changed = torch.cat([_cheapest(*pair, prices) for pair in pairs])
            changed = changed.view_as(values)
        latent.copy_(with_one_left(changed, values))


def _cheapest(rows: Tensor, effect: Tensor, prices: Tensor) -> Tensor:
    """Return latents (N, L), those as integers that are cheaper than their nearest.

    effect: (N, L); prices: (2, R + 1, L), of integers of both signs.
    """
    nearest = rows.round()
    best = rows
    least = effect * (rows - nearest).square() + _look_up(prices, nearest)
    smaller = nearest - nearest.sign()
    cost = effect * (rows - smaller).square() + _look_up(prices, smaller)
    best, least = torch.where(cost < least, smaller, best), torch.minimum(cost, least)
    cost = effect * rows.square() + prices[0, 0]
    return torch.where(cost < least, 0.0, best)


def _look_up(prices: Tensor, integers: Tensor) -> Tensor:
    """Return the prices of integers (N, L); same shape out."""
    index = integers.abs() + prices.shape[1] * (integers < 0)
    return prices.flatten(0, 1).gather(0, index.long())


def prices_of(density: FactorizedDensity, reach: int) -> Tensor:
    """Return the bits of 0 to `reach`, and of 0 to -reach; (2, R + 1, L).

    Made to rise with the distance from zero, by `LEAST_SAVED` a step or more.
    """
    device = density.slope.device
    marks = torch.arange(reach + 1.0, device=device)[:, None]  # (R + 1, 1)
    marks = marks.expand(-1, density.dimensions)
    sides = torch.stack([density.bits(marks), density.bits(-marks)])
    return sides.cummax(1).values + LEAST_SAVED * marks
