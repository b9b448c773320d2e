import copy

import pytest
import torch
from torch import nn

from lilnetx_cli.nn import latent_weights, materialize, reparameterize
from lilnetx_cli.nn.batch_norm import fold_batch_norms
from lilnetx_cli.nn.gating import Gate, gate_dead_filters
from lilnetx_cli.nn.latents import parametrizations_of
from tests.nn.making import fill, lively, numbers

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


def latents_of(network, wanted):
    return {name: latent for name, _, latent in latent_weights(network)}[wanted]


def alive_filters(norm):
    """Return the numbers of the filters that a gated norm lets through."""
    ((_, gate, _),) = [x for x in parametrizations_of(norm, Gate) if x[0] == "bias"]
    return gate.alive.nonzero().flatten().tolist()


@pytest.fixture
def images():
    return numbers(4, 3, 8, 8)


@pytest.fixture
def model():
    network = reparameterize(fill(TwoPaths()))
    for number, norm in enumerate((network.after_first, network.shared)):
        norm.running_mean.copy_(numbers(6, seed=number))
    with torch.no_grad():
        latents_of(network, "first.weight")[DEAD] = 0.4
    gate_dead_filters(network, lambda net: net(torch.zeros(2, 3, 8, 8)))
    return network


def test_only_norms_that_follow_one_convolution_are_gated(model):
    gated = {
        f"{name}.{tensor}"
        for name, module in model.named_modules()
        for tensor, _, _ in parametrizations_of(module, Gate)
    }
    assert gated == {"after_first.weight", "after_first.bias"}


class InPlace(nn.Module):
    """A batch norm follows what was added to, or cut, in place."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.first = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.second = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x):
        x = self.first(x)
        out = self.second(x)
        if self.how == "sum":
            out += x
        elif self.how == "relu":
            out.relu_()
        return self.norm(out)


@pytest.mark.parametrize(("how", "count"), [("none", 1), ("sum", 0), ("relu", 0)])
def test_a_norm_after_a_change_in_place_is_not_gated(how, count, images):
    network = reparameterize(fill(InPlace(how)))
    with torch.no_grad():
        latents_of(network, "second.weight")[DEAD] = 0
    network.eval()
    before = network(images)
    assert gate_dead_filters(network, lambda net: net(images)) == count
    assert torch.equal(network(images), before) == (how != "none")


@pytest.mark.parametrize("training", [True, False])
def test_a_dead_filter_stays_zero_through_its_norm(model, images, training):
    seen = []
    model.after_first.register_forward_hook(lambda *call: seen.append(call[2]))
    model.train(training)
    assert lively(model(images))
    zero = (seen[0] == 0).all(dim=(0, 2, 3))
    assert zero.nonzero().flatten().tolist() == DEAD


def test_the_parameters_behind_gates_are_kept(model):
    """A filter that comes back finds its scale and shift again."""
    behind = dict(model.named_parameters())
    for name in ("weight", "bias"):
        kept = behind[f"after_first.parametrizations.{name}.original"]
        assert kept[DEAD].ne(0).all()
    twin = reparameterize(TwoPaths())
    gate_dead_filters(twin, lambda net: net(torch.zeros(2, 3, 8, 8)))
    twin.load_state_dict(model.state_dict())
    assert alive_filters(twin.after_first) == alive_filters(model.after_first)


@pytest.mark.parametrize("bias", [True, False])
def test_the_scale_is_gated_where_the_filter_does_not_emit_zero(bias, images):
    """In training, a filter without a bias emits zeros, whatever the scale."""
    network = nn.Sequential(nn.Conv2d(3, 6, 3, bias=bias), nn.BatchNorm2d(6))
    reparameterize(fill(network))
    with torch.no_grad():
        latents_of(network, "0.weight")[DEAD] = 0
    gate_dead_filters(network, lambda net: net(images))
    assert network.train()[1].weight[DEAD].eq(0).all() == bias
    assert network.eval()[1].weight[DEAD].eq(0).all()


def test_a_network_gated_in_evaluation_stays_in_evaluation(images):
    network = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6)).eval()
    gate_dead_filters(reparameterize(fill(network)), lambda net: net(images))
    assert not any(module.training for module in network[1].modules())


def test_a_filter_comes_back_with_its_latents(model):
    with torch.no_grad():
        latents_of(model, "first.weight")[DEAD[0], 0, 0, 0] = 0.6
    assert alive_filters(model.after_first) == [0, 1, 2, 3, 5]


def test_gradients_of_dead_filters_are_zero_and_reach_others(model, images):
    model(images).square().sum().backward()
    grad = model.after_first.parametrizations.bias.original.grad
    assert grad[DEAD].eq(0).all()
    assert grad.ne(0).sum() == 4


@pytest.mark.parametrize("training", [True, False])
def test_the_plain_network_is_equal_and_the_original_gated_still(
    model, images, training
):
    model.train(training)
    plain = materialize(model)
    assert list(plain.state_dict()) == list(TwoPaths().state_dict())
    assert type(plain.after_first) is nn.BatchNorm2d
    assert plain.after_first.weight[DEAD].eq(0).all()
    assert plain.after_first.bias[DEAD].eq(0).all()
    before = model.eval()(images)
    assert lively(before)
    assert torch.allclose(plain.eval()(images), before, atol=1e-4)
    assert alive_filters(model.after_first) == [0, 2, 3, 5]
    assert torch.equal(model(images), before)


def test_dead_filters_stay_zero_when_norms_are_folded(model):
    plain = materialize(model).eval()
    fold_batch_norms(plain)
    assert plain.after_first.bias[DEAD].eq(0).all()
    assert plain.after_first.weight[DEAD].eq(0).all()


def test_a_copy_follows_its_own_filters(model):
    twin = copy.deepcopy(model)
    with torch.no_grad():
        latents_of(twin, "first.weight").zero_()
    assert alive_filters(twin.after_first) == []
    assert alive_filters(model.after_first) == [0, 2, 3, 5]
