import sys

import pytest
import torch
from torch import nn

from lilnetx_cli.nn import latent_weights, penalty, reparameterize
from lilnetx_cli.nn.latents import latent_groups
from tests.nn.making import fill, numbers


def model(**options):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 4))
    return reparameterize(fill(network), **options)


def test_parts_add_up():
    made = model().eval()
    terms = penalty(made, rate_weight=0.3, l2_weight=0.5, slice_weight=0.7)
    assert min(terms.bits_per_weight, terms.l2, terms.slice_norm) > 0.1
    total = 0.3 * terms.bits_per_weight + 0.5 * terms.l2 + 0.7 * terms.slice_norm
    assert torch.allclose(terms.total, total)
    assert terms.weights == 3 * 8 * 9 + 32


def test_parts_are_what_their_names_say():
    made = model().eval()
    conv, dense = (latent for _, _, latent in latent_weights(made))
    terms = penalty(made)
    rows = conv.reshape(-1, 9)
    squares = conv.square().sum() + dense.square().sum()
    assert torch.allclose(terms.l2, squares / terms.weights)
    slice_norm = 9 * rows.norm(dim=1).sum() / terms.weights  # of 9 weights each
    assert torch.allclose(terms.slice_norm, slice_norm, rtol=1e-4)
    groups = latent_groups(made)
    bits = groups["conv3x3"].density.bits(rows.round()).sum()
    bits = bits + groups["dense"].density.bits(dense.round().reshape(-1, 1)).sum()
    assert torch.allclose(terms.bits_per_weight, bits / terms.weights)


@pytest.mark.parametrize("filters", [8, 400])  # few slices, and those of a grid
def test_training_has_the_mean_rate_of_noisy_latents(filters):
    network = nn.Sequential(nn.Conv2d(3, filters, 3), nn.Linear(filters, 40))
    made = reparameterize(fill(network), spread=2.0).train()
    found = penalty(made).bits_per_weight
    assert penalty(made).bits_per_weight == found  # nothing is drawn
    draws = numbers(500, 1, seed=3).remainder(1.0) - 0.5
    groups = latent_groups(made)
    bits = torch.zeros(())
    for _, weight, latent in latent_weights(made):
        density = groups[weight.group.key].density
        rows = weight.rows(latent).detach()
        bits = bits + sum(density.bits(rows + u).sum() for u in draws) / len(draws)
    assert torch.allclose(found, bits / penalty(made).weights, rtol=0.01)
    assert penalty(made.eval()).bits_per_weight != found


def test_zero_slices_have_finite_gradients():
    made = model()
    with torch.no_grad():
        for _, _, latent in latent_weights(made):
            latent.zero_()
    penalty(made).total.backward()
    for _, _, latent in latent_weights(made):
        assert bool(latent.grad.isfinite().all())


def test_pressing_on_the_rate_lowers_it():
    made = model(spread=0.5)
    optimizer = torch.optim.Adam(made.parameters(), 0.02)
    before = float(penalty(made.eval()).bits_per_weight.detach())
    made.train()
    for _ in range(150):
        optimizer.zero_grad()
        penalty(made, rate_weight=1.0).total.backward()
        optimizer.step()
    after = float(penalty(made.eval()).bits_per_weight.detach())
    assert after < 0.5 * before


def test_a_plain_network_is_refused():
    with pytest.raises(ValueError, match="reparameterize"):
        penalty(nn.Linear(2, 2))


def test_a_sample_of_slices_is_right_on_average(monkeypatch):
    model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Conv2d(16, 30, 3), nn.Linear(9, 50))
    reparameterize(fill(model))
    with torch.no_grad():
        exact = penalty(model.train())
    monkeypatch.setattr(sys.modules[penalty.__module__], "RATED_WEIGHTS", 1300)
    assert sum(p.numel() for p in model.parameters()) > 4 * 1300
    with torch.no_grad():
        parts = [penalty(model) for _ in range(400)]
    for name in ("total", "bits_per_weight", "l2", "slice_norm"):
        found = torch.stack([getattr(part, name) for part in parts])
        assert found.std() > 0
        wanted = getattr(exact, name)
        error = float(found.std()) / 400**0.5
        assert abs(float(found.mean() - wanted)) < 5 * error, name


def test_small_networks_are_seen_as_a_whole():
    model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Linear(9, 50))
    reparameterize(fill(model)).train()
    assert torch.equal(penalty(model).l2, penalty(model.eval()).l2)


def test_groups_that_a_sample_misses(monkeypatch):
    model = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Linear(2, 1))
    reparameterize(fill(model)).train()
    monkeypatch.setattr(sys.modules[penalty.__module__], "RATED_WEIGHTS", 100)
    for _ in range(20):
        penalty(model).total.backward()
