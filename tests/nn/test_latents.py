import copy

import pytest
import torch
from torch import nn

from lilnetx_cli.models import build
from lilnetx_cli.nn import (
    PlainWeightsWarning,
    density_parameters,
    latent_weights,
    materialize,
    penalty,
    reparameterize,
)
from lilnetx_cli.nn.latents import latent_groups
from lilnetx_cli.nn.side_rounding import relative_change
from tests.nn.making import drawn, fill, lively, numbers


def unfilled(norm=True):
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU()]
    for _ in range(6):
        layers.append(nn.Conv2d(32, 32, 3, padding=1, bias=False))
        layers += [nn.BatchNorm2d(32)] if norm else []
        layers.append(nn.ReLU())
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)
    )


def network():
    return fill(unfilled())


def test_weights_of_one_kernel_share_a_group():
    model = reparameterize(build("resnet20", {"channels": 1, "classes": 10}))
    groups = latent_groups(model)
    assert sorted(groups) == ["conv3x3", "dense"]
    assert groups["conv3x3"].decoder.shape == (9, 9)
    assert groups["dense"].decoder.shape == (1, 1)
    owners = {id(weight.group) for _, weight, _ in latent_weights(model)}
    assert owners == {id(group) for group in groups.values()}
    names = [name for name, _, _ in latent_weights(model)]
    assert names[0] == "conv1.weight"
    assert "layer2.1.conv2.weight" in names
    assert "fc.weight" in names


def test_depthwise_and_grouped_convolutions():
    model = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(8, 2, 1)
    )
    x = numbers(2, 4, 9, 9)
    reparameterize(fill(model))
    assert sorted(latent_groups(model)) == ["conv1x1", "conv3x3", "depthwise3x3"]
    assert lively(model(x))
    assert torch.allclose(model(x), materialize(model)(x), atol=1e-4)


def size_of_signals(model):
    """Return the RMS of what the convolutions make of images."""
    with torch.no_grad():
        return float(model[:-3](numbers(64, 3, 16, 16)).square().mean().sqrt())


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("spread", [0.3, 0.6, 2.0])
def test_initialization_stays_sound(norm, spread):
    """Signals keep their size through the network, with batch norm and without."""
    model = drawn(unfilled(norm))
    plain = size_of_signals(model)
    latent = size_of_signals(reparameterize(model, start="random", spread=spread))
    assert 0.4 * plain < latent < 2.5 * plain


def test_fine_steps_give_the_weights_back():
    model = network()
    before = model[2].weight.detach().clone()
    reparameterize(model, spread=1000.0)
    assert torch.allclose(model[2].weight, before, atol=1e-3)


def test_training_moves_latents_decoders_and_densities():
    model = reparameterize(network())
    loss = model(numbers(4, 3, 8, 8)).square().sum() + penalty(model).total
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.abs().sum() > 0), name
    assert len(density_parameters(model)) == 3 * len(latent_groups(model))


def test_excluded_and_parametrized_weights_are_left():
    model = nn.ModuleDict(
        {
            "a": nn.Linear(4, 4),
            "b": nn.Linear(4, 4),
            "c": nn.Linear(4, 4),
            "d": nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
            "e": nn.Linear(4, 4),
        }
    )
    model["b"].weight = model["a"].weight
    reparameterize(model, exclude=["c"])
    assert [name for name, _, _ in latent_weights(model)] == ["a.weight", "e.weight"]
    assert torch.equal(model["b"].weight, model["a"].weight)


def test_parts_made_on_their_own_keep_their_groups():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    reparameterize(model[0])
    reparameterize(model[1])
    assert sorted(latent_groups(model)) == ["dense", "dense.2"]
    assert len(density_parameters(model)) == 6
    penalty(model).total.backward()
    materialize(model)


class Mixer(nn.Module):
    """A layer of one's own: no type that is known."""

    def __init__(self, size):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(size, size))
        self.shift = nn.Parameter(torch.empty(size))

    def forward(self, x):
        return torch.einsum("nc,cd->nd", x, self.kernel) + self.shift


@pytest.mark.parametrize("include", [[Mixer], ["*.kernel"], ["0.kernel", Mixer]])
def test_layers_of_other_types_have_latents_where_they_are_included(include):
    model = fill(nn.Sequential(Mixer(6), nn.ReLU(), Mixer(6), nn.Linear(6, 3)))
    inputs = numbers(5, 6)
    before = model(inputs)
    reparameterize(model, include=include)
    names = [name for name, _, _ in latent_weights(model)]
    assert names == ["0.kernel", "2.kernel", "3.weight"]
    assert relative_change(model(inputs).detach(), before.detach()) < 0.1
    plain = materialize(model)
    assert torch.equal(plain(inputs), model(inputs))
    assert [name for name, _ in plain.named_parameters()][:2] == ["0.kernel", "0.shift"]


def test_weights_tied_to_an_included_one_stay_tied():
    model = fill(nn.Sequential(Mixer(6), Mixer(6)))
    model[1].kernel = model[0].kernel
    reparameterize(model, include=[Mixer])
    assert [name for name, _, _ in latent_weights(model)] == ["0.kernel"]
    assert torch.equal(model[1].kernel, model[0].kernel)


def test_what_is_excluded_is_not_included():
    model = fill(nn.Sequential(Mixer(6), Mixer(6)))
    reparameterize(model, include=[Mixer], exclude=["0"])
    assert [name for name, _, _ in latent_weights(model)] == ["1.kernel"]


@pytest.mark.parametrize("include", [["0.shift"], ["kernel"], [nn.Bilinear]])
def test_nothing_to_include_is_an_error(include):
    with pytest.raises(ValueError, match="no weight of two or more dimensions"):
        reparameterize(nn.Sequential(Mixer(2), nn.Linear(2, 2)), include=include)


def test_many_weights_without_latents_are_told():
    model = fill(nn.Sequential(Mixer(6), nn.Linear(6, 6)))
    with pytest.warns(PlainWeightsWarning, match=r"36 weights .*\(Mixer\).*include"):
        reparameterize(model)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("how", ["few", "frozen", "excluded", "included"])
def test_weights_that_are_to_stay_are_not_told(how):
    size = 60 if how == "few" else 6
    model = fill(nn.Sequential(Mixer(6), nn.Linear(6, size)))
    model[0].kernel.requires_grad_(how != "frozen")
    exclude = [Mixer] if how == "excluded" else []
    reparameterize(model, exclude=exclude, include=[Mixer] * (how == "included"))


def test_excluding_a_container_excludes_what_is_in_it():
    model = nn.ModuleDict(
        {"head": nn.Sequential(nn.Linear(2, 2)), "a": nn.Linear(2, 2)}
    )
    reparameterize(model, exclude=["head"])
    assert [name for name, _, _ in latent_weights(model)] == ["a.weight"]


def test_half_precision_is_refused_before_anything_is_touched():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).half())
    with pytest.raises(ValueError, match=r"expected torch\.float32"):
        reparameterize(model)
    assert type(model[0]) is nn.Linear


def test_frozen_and_cast_weights_stay_so():
    model = reparameterize(nn.Sequential(nn.Linear(4, 4)))
    model.requires_grad_(False)
    assert not materialize(model)[0].weight.requires_grad
    double = materialize(model.double())
    assert double(numbers(1, 4).double()).dtype == torch.float64


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="no module named 'nothing'"):
        reparameterize(nn.Linear(2, 2), exclude=["nothing"])
    model = reparameterize(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="already"):
        reparameterize(model)


def test_copies_have_groups_of_their_own():
    model = reparameterize(network())
    twin = copy.deepcopy(model)
    owners = {id(weight.group) for _, weight, _ in latent_weights(twin)}
    assert owners == {id(group) for group in latent_groups(twin).values()}
    assert owners.isdisjoint(id(group) for group in latent_groups(model).values())
    twin.load_state_dict(model.state_dict())


def test_materialize_leaves_the_original_training():
    model = reparameterize(network())
    keys = list(network().state_dict())
    x = numbers(4, 3, 8, 8)
    plain = materialize(model)
    assert list(plain.state_dict()) == keys
    assert type(plain[2]) is nn.Conv2d
    model.eval()
    plain.eval()
    assert lively(plain(x))
    assert torch.allclose(model(x), plain(x), atol=1e-4)
    model.train()
    loss = model(x).sum() + penalty(model).total
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    again = materialize(model)
    assert torch.equal(again[2].weight, plain[2].weight)


def test_materialize_of_a_plain_network_is_a_copy():
    model = network()
    plain = materialize(model)
    assert plain is not model
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


def test_autocast_does_not_touch_the_decoding():
    model = reparameterize(network())
    weight = model[2].weight
    with torch.autocast("cpu", torch.bfloat16):
        assert model[2].weight.dtype == torch.float32
        assert torch.equal(model[2].weight, weight)


def test_zero_latents_are_zero_weights():
    model = reparameterize(network())
    with torch.no_grad():
        for _, _, latent in latent_weights(model):
            latent.mul_(0.4 / latent.abs().max())
    assert all(not bool(m.weight.any()) for m in model if isinstance(m, nn.Conv2d))


def layouts(model, image):
    """Return which outputs of convolutions are channels-last, by their strides."""
    found = []
    for layer in model:
        image = layer(image)
        found.append(image.stride(1) == 1)
    return found


@pytest.mark.parametrize("early", [True, False])
def test_convolutions_of_grey_images_stay_channels_last(early):
    """Such an image is laid out both ways at once: the weights decide."""
    depthwise = nn.Conv2d(8, 8, 3, groups=8)
    layers = [nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1), depthwise]
    model = fill(nn.Sequential(*layers))
    image = numbers(2, 1, 9, 9).contiguous(memory_format=torch.channels_last)
    reference = copy.deepcopy(model).to(memory_format=torch.channels_last)
    assert layouts(reference, image) == [True] * 4
    rows = reparameterize(copy.deepcopy(model))
    assert layouts(rows, image) == [False] * 4
    if early:
        model = model.to(memory_format=torch.channels_last)
    reparameterize(model)
    if not early:
        model = model.to(memory_format=torch.channels_last)
    assert layouts(model, image) == [True] * 4
    assert torch.allclose(model(image), rows(image), atol=1e-5)
