import copy

import pytest
import torch
from torch import nn

from lilnetx_cli.nn import latent_weights, materialize, reparameterize
from lilnetx_cli.nn.batch_norm import fold_batch_norms
from lilnetx_cli.nn.gating import Gated, gate_dead_filters

DEAD = [1, 4]


class TwoPaths(nn.Module):
    """One batch norm follows a convolution, one a sum, one two convolutions."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.after_first = nn.BatchNorm2d(6)
        self.after_sum = nn.BatchNorm2d(6)
        self.shared = nn.BatchNorm2d(6)
        self.plain = nn.BatchNorm2d(6, affine=False)

    def forward(self, x):
        first = self.first(x)
        y = self.after_first(first)
        z = self.second(y)
        return self.after_sum(y + z) + self.shared(z) + self.shared(first)


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = reparameterize(TwoPaths())
    for norm in (network.after_first, network.shared, network.after_sum):
        nn.init.normal_(norm.bias)
        nn.init.normal_(norm.running_mean)
    latents = {name: latent for name, _, latent in latent_weights(network)}
    with torch.no_grad():
        latents["first.weight"].mul_(8)
        latents["first.weight"][DEAD] = 0.4
    gate_dead_filters(network, lambda net: net(torch.zeros(2, 3, 8, 8)))
    return network


def test_only_norms_that_follow_one_convolution_are_gated(model):
    gated = [name for name, m in model.named_modules() if isinstance(m, Gated)]
    assert gated == ["after_first"]


@pytest.mark.parametrize("training", [True, False])
def test_a_dead_filter_stays_zero_through_its_norm(model, training):
    seen = []
    model.after_first.register_forward_hook(lambda *call: seen.append(call[2]))
    model.train(training)
    model(torch.randn(4, 3, 8, 8))
    zero = (seen[0] == 0).all(dim=(0, 2, 3))
    assert zero.nonzero().flatten().tolist() == DEAD


def test_the_state_dict_is_that_of_the_network_without_gates(model):
    assert set(model.state_dict()) == set(reparameterize(TwoPaths()).state_dict())
    assert bool(model.state_dict()["after_first.bias"][DEAD].ne(0).all())


def test_a_filter_comes_back_with_its_latents(model):
    latent = {n: v for n, _, v in latent_weights(model)}["first.weight"]
    with torch.no_grad():
        latent[DEAD[0], 0, 0, 0] = 0.6
    assert model.after_first.alive.nonzero().flatten().tolist() == [0, 1, 2, 3, 5]


def test_gradients_of_dead_filters_are_zero_and_reach_others(model):
    model(torch.randn(4, 3, 8, 8)).square().sum().backward()
    grad = model.after_first._parameters["bias"].grad
    assert grad[DEAD].eq(0).all()
    assert grad.ne(0).sum() == 4


def test_the_plain_network_is_equal_and_the_original_gated_still(model):
    images = torch.randn(4, 3, 8, 8)
    before = model.eval()(images)
    plain = materialize(model)
    assert torch.allclose(plain(images), before, atol=1e-5)
    assert type(plain.after_first) is nn.BatchNorm2d
    assert plain.after_first.weight[DEAD].eq(0).all()
    assert isinstance(model.after_first, Gated)
    assert torch.equal(model(images), before)


def test_dead_filters_stay_zero_when_norms_are_folded(model):
    plain = materialize(model).eval()
    fold_batch_norms(plain)
    assert plain.after_first.bias[DEAD].eq(0).all()
    assert plain.after_first.weight[DEAD].eq(0).all()


def test_a_copy_follows_its_own_filters(model):
    twin = copy.deepcopy(model)
    with torch.no_grad():
        next(latent for _, _, latent in latent_weights(twin)).zero_()
    assert not twin.after_first.alive.any()
    assert model.after_first.alive.any()
