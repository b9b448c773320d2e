"""Networks with latents under torch's own tools: compile, export, deepcopy."""

import copy

import pytest
import torch
from torch import nn

from lilnetx_cli.models import build
from lilnetx_cli.nn import materialize, penalty, reparameterize
from lilnetx_cli.nn.gating import gate_dead_filters
from tests.nn.making import fill, filled, lively, numbers
from tests.nn.test_layers import LAYERS, make, step

# Graph breaks are torch's own: it has no graph of these.
BREAKS = ("rnn", "lstm", "projected lstm", "gru", "bag")


def network():
    """A gated ResNet-20, and images for it."""
    plain = build("resnet20", {"channels": 1, "classes": 10})
    model = reparameterize(filled(plain, 32, 1, 16, 16))
    images = numbers(4, 1, 16, 16)
    assert gate_dead_filters(model, lambda net: net(images)) == 19
    assert lively(model.eval()(images))
    return model.train(), images


@pytest.mark.parametrize("name", LAYERS)
def test_a_compiled_layer_gives_the_same(name):
    model, x, _ = make(name)
    reparameterize(model).eval()
    wanted = model(x)
    assert lively(wanted)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=name not in BREAKS)
    assert torch.allclose(compiled(x), wanted, atol=1e-6)


@pytest.mark.slow
def test_a_compiled_network_learns_the_same():
    model, images = network()
    twin = copy.deepcopy(model)
    torch.compiler.reset()
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)
    for run, own in ((model, model), (compiled, twin)):
        torch.manual_seed(1)
        loss = run(images).square().mean() + penalty(own).total
        loss.backward()
    pairs = zip(model.named_parameters(), twin.parameters(), strict=True)
    for (name, one), other in pairs:
        close = torch.allclose(one.grad, other.grad, atol=1e-4, rtol=1e-3)
        assert close, name


def test_a_compiled_network_follows_its_latents():
    """The weights are decoded at each call, not once for all."""
    model, images = network()
    torch.compiler.reset()
    compiled = torch.compile(model.eval(), backend="aot_eager")
    before = compiled(images)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    after = compiled(images)
    assert not torch.allclose(before, after)
    assert torch.allclose(after, model(images), atol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_the_plain_network_is_exported_and_the_original_trains_on(name):
    model, x, _ = make(name)
    reparameterize(model)
    step(model, x)
    plain = materialize(model.eval())
    assert lively(plain(x))
    program = torch.export.export(plain, (x,), strict=False)
    assert torch.allclose(program.module()(x), model(x), atol=1e-5)
    before = [p.clone() for p in model.parameters()]
    step(model.train(), x)
    assert not all(map(torch.equal, before, model.parameters()))


def test_a_network_with_latents_is_exported_itself():
    model, images = network()
    program = torch.export.export(model.eval(), (images,), strict=False)
    assert torch.allclose(program.module()(images), model(images), atol=1e-5)


def test_weights_with_a_parametrization_of_their_own_stay(tmp_path):
    import lilnetx_cli as lilnetx

    def make_one():
        normed = nn.utils.parametrizations.weight_norm(nn.Linear(6, 8))
        spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))
        last = nn.Linear(8, 4)
        return fill(nn.Sequential(normed, nn.ReLU(), spectral, nn.ReLU(), last))

    model, x = reparameterize(make_one()), numbers(3, 6)
    step(model, x)
    assert lively(model.eval()(x))
    lilnetx.save(model, tmp_path / "model.lnx")
    loaded = lilnetx.load_model(tmp_path / "model.lnx", model=make_one())
    assert torch.allclose(loaded(x), model(x), atol=1e-6)
    pruned = lilnetx.prune(loaded, (x,))
    assert torch.allclose(pruned.model(x), loaded(x), atol=1e-6)
