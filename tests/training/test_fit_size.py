import math

import pytest
import torch
from torch import nn

from lilnetx_cli.nn import latent_weights, reparameterize
from lilnetx_cli.nn.density import FactorizedDensity
from lilnetx_cli.training.fit_size import (
    LEAST_EFFECT,
    LEAST_SAVED,
    effects_on_loss,
    fit_size,
    prices_of,
    round_at_price,
)
from tests.nn.making import fill

OVERHEAD = 37


def made():
    network = nn.Sequential(nn.Linear(40, 50), nn.Linear(50, 40))
    return reparameterize(fill(network), start="random", spread=0.6)


def ones(model):
    return sum(int(latent.round().count_nonzero()) for _, _, latent in
               latent_weights(model))  # fmt: skip


def finished(model):
    return ones(model) + OVERHEAD, f"{ones(model)} ones"


def test_a_smaller_size_is_hit():
    for share in (0.2, 0.3, 0.9):
        model = made()
        target = int(share * (ones(model) + OVERHEAD))
        got, text = fit_size(model, target, ones, finished, {})
        assert (got, text) == finished(model)
        assert 0.97 * target <= got <= target


def test_latents_in_the_hundreds_come_down_to_a_size_as_well():
    model = made()
    with torch.no_grad():
        for _, _, latent in latent_weights(model):
            latent.copy_(200 + 10 * latent)
    got, _ = fit_size(model, 400, ones, finished, {})
    assert 388 < got <= 400


def test_a_size_that_fits_changes_nothing():
    model = made()
    kept = {name: latent.clone() for name, _, latent in latent_weights(model)}
    fit_size(model, ones(model) + OVERHEAD + 1, ones, finished, {})
    for name, _, latent in latent_weights(model):
        assert torch.equal(latent, kept[name])


def rounded(values, price):
    """What latents become, by a logistic density of scale 1."""
    model = reparameterize(nn.Sequential(nn.Linear(len(values), 1, bias=False)))
    ((_, weight, latent),) = latent_weights(model)
    density = weight.group.density
    with torch.no_grad():
        for parameter in density.parameters():
            parameter.zero_()
        density.slope.fill_(math.log(math.e - 1))  # whose softplus is 1
    round_at_price(model, {"0.weight": torch.tensor([values])}, price)
    return latent.round().tolist()[0]


def test_a_price_moves_what_is_nearest_to_the_smaller_integer_first():
    values = [0.2, 0.55, -1.4, 2.6, 5.9]
    assert rounded(values, 0) == [0, 1, -1, 3, 6]
    assert rounded(values, 0.5) == [0, 0, -1, 2, 6]


def test_at_a_high_price_one_latent_is_left():
    values = [0.2, 0.6, -1.4, 2.6]
    assert rounded(values, 1e4) == [0, 0, 0, 1]


def test_fine_latents_go_where_a_step_saves_most_not_to_zero():
    assert rounded([0.6, 1.7, 8.6, 9.2], 0.3) == [1, 2, 8, 9]


def test_prices_rise_with_the_distance_from_zero_on_both_sides():
    density = FactorizedDensity(2)
    with torch.no_grad():
        for parameter in density.parameters():
            parameter.zero_()
        density.slope.fill_(math.log(math.e - 1))
        density.shift[-1] = torch.tensor([-2.0, 0.0])  # the first is centered at 2
        prices = prices_of(density, 100)
        bits = density.bits(torch.tensor([[0.0, 0], [-1, -1], [2, 2], [5, 5]]))
    assert prices.shape == (2, 101, 2)
    assert torch.allclose(prices[0, 0], bits[0])
    assert torch.allclose(prices[1, 1] - LEAST_SAVED, bits[1])
    # 2 is cheaper than 0 by the first, and still no reason to grow; 5 is dearer.
    assert float(prices[0, 2, 0]) == pytest.approx(float(bits[0, 0]) + 2 * LEAST_SAVED)
    assert torch.allclose(prices[0, 5] - 5 * LEAST_SAVED, bits[3])
    assert float(prices.diff(dim=1).min()) > 0.9 * LEAST_SAVED  # flat at 60 bits


def test_parts_of_a_large_weight_are_rounded_alike(monkeypatch):
    values = (torch.arange(40) % 17 - 8.3).tolist()
    whole = rounded(values, 0.5)
    monkeypatch.setattr("lilnetx_cli.training.fit_size.ROWS_AT_ONCE", 7)
    assert rounded(values, 0.5) == whole


def test_latents_that_the_loss_feels_least_are_changed_first():
    """Of equal latents, half matter a hundred times as much as the others."""
    model = reparameterize(fill(nn.Sequential(nn.Linear(40, 50, bias=False))))
    ((name, _, latent),) = latent_weights(model)
    with torch.no_grad():
        latent.copy_(torch.where(latent > 0, 1.2, -1.2))
    effect = torch.full((50, 40), 0.02)
    effect[:, ::2] = 2.0
    got, _ = fit_size(model, 1200 + OVERHEAD, ones, finished, {name: effect})
    assert got == 1000 + OVERHEAD
    assert bool(latent[:, ::2].round().all())


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_effects_are_those_that_adam_has_seen(kind):
    model = made()
    optimizer = kind(model.parameters(), lr=0.0)
    weights = torch.ones(40)
    weights[20:] = 0.0
    (weights * model[1](model[0](torch.ones(3, 40)))).sum().backward()
    optimizer.step()
    effects = effects_on_loss(model, optimizer)
    if kind is torch.optim.SGD:
        assert effects == {}
        return
    last = effects["1.weight"]
    assert float(last[:20].mean()) > 10 * float(last[20:].mean())
    assert torch.allclose(last[20:], torch.tensor(LEAST_EFFECT))
    every = torch.cat([effect.flatten() for effect in effects.values()])
    assert float(every.mean()) == pytest.approx(1 + LEAST_EFFECT)
