import copy

import pytest
import torch
from torch import nn

from lilnetx_cli.nn import latent_weights, reparameterize
from lilnetx_cli.nn.latents import latent_groups
from lilnetx_cli.training.growing import Growth, grow_steps
from tests.nn.making import fill, numbers


def test_latents_shrink_at_one_pace_and_then_stay():
    growth = Growth(4.0, 0.25, 0.4)
    paces = [growth.spread(x) for x in (0, 0.1, 0.2, 0.3)]
    assert paces == pytest.approx([4.0, 2.0, 1.0, 0.5])
    assert growth.spread(0.4) == growth.spread(1.0) == 0.25
    assert Growth(4.0, 0.25, 0.0).spread(0.0) == 0.25


@pytest.fixture
def model():
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(4, 3))
    return reparameterize(fill(network), spread=40.0)


def step(model, optimizer):
    optimizer.zero_grad()
    model(numbers(5, 2, 3, 3)).square().sum().backward()
    optimizer.step()


def test_weights_stay_and_so_does_what_the_next_step_does(model):
    """Adam at learning rates as small as the steps are large: the same weights."""
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    step(model, optimizer)
    other = copy.deepcopy(model)
    names = dict(zip(model.parameters(), other.parameters(), strict=True))
    twin = torch.optim.Adam(other.parameters(), 0.01)
    for parameter, state in optimizer.state.items():
        twin.state[names[parameter]] = {k: v.clone() for k, v in state.items()}
    grow_steps(other, twin, 2.0)
    for (_, _, mine), (_, _, its) in zip(
        latent_weights(model), latent_weights(other), strict=True
    ):
        torch.testing.assert_close(its, mine / 2)
        for name, power in (("exp_avg", 1), ("exp_avg_sq", 2)):
            wanted = optimizer.state[mine][name] * 2.0**power
            torch.testing.assert_close(twin.state[its][name], wanted)
    for mine, its in zip(
        latent_groups(model).values(), latent_groups(other).values(), strict=True
    ):
        torch.testing.assert_close(its.decoder, 2 * mine.decoder)
        assert torch.equal(its.basis, mine.basis)


def test_before_the_first_step_there_is_nothing_to_scale(model):
    before = [weight.clone() for weight in (model[0].weight, model[2].weight)]
    grow_steps(model, torch.optim.Adam(model.parameters(), 0.01), 1.5)
    for weight, kept in zip((model[0].weight, model[2].weight), before, strict=True):
        assert float((weight - kept).norm() / kept.norm()) < 0.05
