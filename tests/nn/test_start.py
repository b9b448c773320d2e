"""Where latents start: fine for trained weights, coarse for drawn ones."""

import copy
import warnings

import pytest
import torch
from torch import nn

import lilnetx_cli as lilnetx
from lilnetx_cli.models import build
from lilnetx_cli.nn import RoundingWarning, latent_weights, reparameterize
from lilnetx_cli.nn.decoding import cosine_basis
from lilnetx_cli.nn.latents import latent_groups
from tests.nn.making import drawn, fill, filled, lively, numbers

NETWORKS = {
    "resnet20": {},
    "vgg16_bn": {"percent": 25},
    "mobilenet_v2_cifar": {"percent": 25},
}


def empty(name):
    return build(name, {"channels": 1, "classes": 10, **NETWORKS[name]})


def change_of(model, **options):
    """Return how much reparameterizing changes the outputs, relative to their size."""
    x = numbers(16, 1, 28, 28, seed=9)
    with torch.no_grad():
        before = model.eval()(x)
        assert lively(before)
        after = reparameterize(copy.deepcopy(model), **options)(x)
    return float((after - before).norm() / before.norm())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_trained_network_computes_the_same(name):
    model = filled(empty(name), 32, 1, 28, 28)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 0 < change_of(model) < 0.08
    with pytest.warns(RoundingWarning, match="start='trained'"):
        assert change_of(model, start="random") > 0.5


def test_trained_latents_are_fine():
    """The tightest weight of a group has an RMS of 16 steps; a mean counts, too."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(1, 1), nn.Linear(4, 4))
    with torch.no_grad():
        model[0].weight.copy_(numbers(4, 4))
        model[1].weight.fill_(0.01)  # one value, which has no deviation
        model[2].weight.fill_(0.1)
    reparameterize(model)
    assert latent_groups(model)["dense"].decoder.item() == pytest.approx(0.01 / 16)
    assert model[1].weight.item() == pytest.approx(0.01, rel=0.04)
    torch.testing.assert_close(
        model[2].weight, torch.full((4, 4), 0.1), rtol=0.01, atol=0
    )


def test_random_latents_are_coarse():
    """The tightest weight of a group has a deviation of 0.3 steps, and its energy."""
    model = drawn(nn.Sequential(nn.Conv2d(3, 32, 3), nn.Conv2d(32, 16, 3)))
    weights = [layer.weight.detach().clone() for layer in model]
    reparameterize(model, start="random")
    step = min(float(weight.std()) for weight in weights) / 0.3
    decoder = latent_groups(model)["conv3x3"].decoder
    torch.testing.assert_close(decoder, step * cosine_basis((3, 3)))
    for (_, weight, latent), before in zip(latent_weights(model), weights, strict=True):
        wanted = torch.linalg.solve(decoder, before.reshape(-1, 9), left=False)
        scale = weight.rows(latent) / wanted
        assert float(scale.std()) < 1e-3
        energy = float(latent.round().square().sum() / wanted.square().sum())
        assert energy == pytest.approx(1, abs=0.06)


def uniform(model):
    """Give weights uniform values, as torch's own layers start."""
    for layer in model:
        draw = torch.special.ndtr(numbers(*layer.weight.shape)) - 0.5
        layer.weight.data.copy_(draw / layer.weight[0].numel() ** 0.5)
    return model


@pytest.mark.parametrize(
    "model",
    [
        drawn(empty("resnet20")),
        drawn(empty("mobilenet_v2_cifar")),
        uniform(nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 10))),
        uniform(nn.Sequential(nn.Conv1d(1, 16, 5), nn.Conv1d(16, 16, 5))),
    ],
    ids=["resnet20", "mobilenet_v2", "linear", "conv1d"],
)
def test_random_weights_bring_no_warning(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reparameterize(copy.deepcopy(model), start="random")


def learned_shift(model):
    model[1].bias.data[3] = 0.25


def learned_scale(model):
    model[1].weight.data[3] = 1.25


def learned_rows(model):
    model[0].weight.data.mul_(torch.linspace(0.2, 2, 32).reshape(-1, 1, 1, 1))


@pytest.mark.parametrize("learn", [learned_shift, learned_scale, learned_rows])
def test_one_trace_of_training_brings_a_warning(learn):
    model = drawn(nn.Sequential(nn.Conv2d(8, 32, 3), nn.BatchNorm2d(32)))
    learn(model)
    with pytest.warns(
        RoundingWarning, match=r"changes 1 of 1 trained weights.*'0\.weight'"
    ):
        reparameterize(model, start="random")


def test_a_spread_too_coarse_for_trained_weights_brings_a_warning():
    model = fill(nn.Sequential(nn.Linear(64, 64)))
    with pytest.warns(RoundingWarning, match=r"'0\.weight' by \d+%"):
        reparameterize(model, spread=0.3)


def test_a_vanished_weight_does_not_spoil_its_group():
    """Weight decay leaves such; the others keep latents that a file can hold."""
    model = fill(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)))
    before = model[1].weight.detach().clone()
    with torch.no_grad():
        model[0].weight.mul_(1e-20)
    with pytest.warns(RoundingWarning, match=r"1 of 2.*'0\.weight' by 100%.*exclude"):
        reparameterize(model)
    torch.testing.assert_close(model[1].weight, before, rtol=0, atol=1e-5)
    assert max(float(v.abs().max()) for _, _, v in latent_weights(model)) <= 2**20


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_weights_without_elements_or_size_start():
    model = reparameterize(nn.Sequential(nn.Linear(4, 0), nn.Conv1d(2, 0, 3)))
    assert model[0](numbers(3, 4)).shape == (3, 0)
    model = nn.Sequential(nn.Linear(4, 4))
    nn.init.zeros_(model[0].weight)
    assert not reparameterize(model)[0].weight.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "scratch"}, "start is 'scratch', expected 'trained' or 'random'"),
        ({"spread": 0}, "spread is 0, expected more than 0"),
    ],
)
def test_other_starts_are_refused(options, message):
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=message):
        reparameterize(model, **options)
    assert type(model[0]) is nn.Linear


def test_the_warning_is_part_of_the_interface():
    assert lilnetx.RoundingWarning is RoundingWarning
    assert issubclass(RoundingWarning, UserWarning)
