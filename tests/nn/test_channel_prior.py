"""Coupled channels in the penalty, and which of them live."""

import pytest
import torch
from torch import nn

from lilnetx_cli.graph import GraphError
from lilnetx_cli.graph.coupling import coupled_channels
from lilnetx_cli.measure.macs import count_macs
from lilnetx_cli.models import build
from lilnetx_cli.nn import latent_weights, materialize, penalty, reparameterize
from lilnetx_cli.nn.channel_prior import channel_norms, strongest
from lilnetx_cli.nn.gating import gate_dead_filters
from lilnetx_cli.nn.living_channels import living, nonzero_slices
from lilnetx_cli.pruning import prune
from lilnetx_cli.training.macs_control import choose_gone, macs_share, take_out
from tests.nn.making import fill, numbers, words


class Residual(nn.Module):
    """Channels 0 to 5 are a sum of two layers; a depthwise layer and a head read it."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.inner = nn.Conv2d(6, 4, 1, bias=False)
        self.back = nn.Conv2d(4, 6, 1, bias=False)
        self.depthwise = nn.Conv2d(6, 6, 3, groups=6, bias=False)
        self.head = nn.Linear(6, 5, bias=False)

    def forward(self, x):
        x = self.first(x)
        x = x + self.back(self.inner(x).relu())
        return self.head(self.depthwise(x).mean((2, 3)))


def residual():
    model = fill(Residual())
    channels = coupled_channels(model, (numbers(2, 3, 8, 8),))
    reparameterize(model)
    return model, channels


def class_of(channels, name, row):
    return int(channels.layers[f"{name}.weight"].rows[row])


def latents(model):
    return {name: latent for name, _, latent in latent_weights(model)}


def network(name, **more):
    model = build(name, {"channels": 1, "classes": 10, **more})
    return fill(model), numbers(2, 1, 28, 28)


NETWORKS = [
    ("resnet20", {}),
    ("resnet20", {"width": 2}),
    ("vgg16_bn", {"percent": 25}),
    ("mobilenet_v2_cifar", {"percent": 25}),
]


@pytest.mark.parametrize(("name", "more"), NETWORKS)
def test_all_multiply_adds_belong_to_layers_with_channels(name, more):
    model, images = network(name, **more)
    channels = coupled_channels(model, (images,))
    every = torch.ones(channels.count, dtype=torch.bool)
    assert channels.macs(every) == count_macs(model.eval(), images).macs
    assert float(channels.costs().sum()) == pytest.approx(1)
    assert channels.costs()[0] == 0


def test_channels_of_a_sum_are_one_class():
    _, channels = residual()
    same = channels.layers["first.weight"].rows
    for name in ("back", "depthwise"):
        assert torch.equal(channels.layers[f"{name}.weight"].rows, same)
    assert torch.equal(channels.layers["head.weight"].columns, same)
    assert not channels.layers["head.weight"].rows.any()  # outputs must stay
    assert channels.layers["depthwise.weight"].depthwise


def test_the_norm_is_that_of_all_rows_of_a_class():
    model, channels = residual()
    found = latents(model)
    rows = [found[f"{name}.weight"][2].flatten() for name in
            ("first", "back", "depthwise")]  # fmt: skip
    wanted = torch.cat(rows).square().mean().sqrt()
    norms = channel_norms(model, channels)
    assert torch.allclose(norms[class_of(channels, "first", 2)], wanted)
    terms = penalty(model, channels=channels, channel_weight=2.0, rate_weight=0.0,
                    slice_weight=0.0)  # fmt: skip
    weighted = (channels.costs() * norms).detach()
    weighted[strongest(channels, norms.detach())] = 0
    assert torch.allclose(terms.channel_norm, weighted.sum())
    assert torch.allclose(terms.total, 2 * terms.channel_norm)
    terms.total.backward()
    assert all(bool(x.grad.isfinite().all()) for x in found.values())


def test_the_prior_empties_channels_but_no_layer():
    model, channels = residual()
    spared = strongest(channels, channel_norms(model, channels).detach())
    optimizer = torch.optim.Adam(model.parameters(), 0.2)
    for _ in range(300):
        optimizer.zero_grad()
        penalty(model, channels=channels, channel_weight=1.0, rate_weight=0.0,
                slice_weight=0.0).total.backward()  # fmt: skip
        optimizer.step()
    alive = living(channels, nonzero_slices(model, channels))
    assert torch.equal(alive, spared)
    assert 0 < macs_share(model, channels) < 0.2


@torch.no_grad()
def test_a_channel_lives_by_what_it_is_given_and_who_reads_it():
    model, channels = residual()
    found = latents(model)
    for latent in found.values():
        latent.fill_(2.0)

    def alive(name, row):
        now = living(channels, nonzero_slices(model, channels))
        return bool(now[class_of(channels, name, row)])

    found["first.weight"][1] = 0
    assert alive("first", 1)  # the other layer still gives it
    found["back.weight"][1] = 0
    assert not alive("first", 1)
    found["depthwise.weight"][3] = 0
    assert alive("first", 3)  # the inner layer reads it before
    found["inner.weight"][:, 3] = 0
    assert not alive("first", 3)  # nothing comes through
    found["back.weight"][:, 2] = 0
    assert not alive("inner", 2)  # nobody reads it
    found["inner.weight"][0] = 0
    assert not alive("inner", 0)
    assert alive("inner", 1)


@pytest.mark.parametrize(("name", "more"), NETWORKS)
@pytest.mark.parametrize("target", [0.5, pytest.param(0.25, marks=pytest.mark.slow)])
def test_what_is_chosen_is_what_pruning_cuts(name, more, target):
    model, images = network(name, **more)
    channels = coupled_channels(model, (images,))
    reparameterize(model)
    gate_dead_filters(model, lambda net: net(images))
    gone = choose_gone(model, channels, target)
    take_out(model, channels, gone)
    share = macs_share(model, channels)
    assert target - 0.02 < share <= target
    plain = materialize(model.eval())
    small = prune(plain, (images,)).model
    dense = count_macs(plain, images).macs
    assert count_macs(small, images).macs == pytest.approx(share * dense, rel=0.01)


class Depthwise(nn.Module):
    """Channels go through depthwise layers: of two rows each, or with a way by."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        rows = 16 if kind == "two rows" else 8
        self.first = nn.Conv2d(3, 8, 3)
        self.depthwise = nn.Conv2d(8, rows, 3, padding=1, groups=8, bias=False)
        self.next = nn.Conv2d(rows, rows, 3, groups=rows, bias=False)
        self.last = nn.Conv2d(rows, 5, 1)

    def forward(self, x):
        x = self.first(x).relu()
        y = self.depthwise(x)
        return self.last(self.next(x + y if self.kind == "way by" else y))


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "zero", "dead"),
    [
        ("two rows", [0, 1, 2, 5], [0]),
        ("way by", [0, 1, 2], []),
        ("alone", [0, 3], [0, 3]),
    ],
)
def test_a_channel_ends_where_no_row_lets_it_through(kind, zero, dead):
    model, images = fill(Depthwise(kind)), numbers(2, 3, 8, 8)
    channels = coupled_channels(model, (images,))
    reparameterize(model)
    latents(model)["depthwise.weight"][zero] = 0
    alive = living(channels, nonzero_slices(model, channels))
    found = [x for x in range(8) if not alive[class_of(channels, "first", x)]]
    assert found == dead
    plain = materialize(model.eval())
    small = prune(plain, (images,)).model
    share = count_macs(small, images).macs / count_macs(plain, images).macs
    assert macs_share(model, channels) == pytest.approx(share)
    before = plain(images)
    take_out(model, channels, ~alive)
    assert torch.equal(materialize(model)(images), before)
    latents(model)["next.weight"][:] = 0  # the only way on
    assert not living(channels, nonzero_slices(model, channels))[1:].any()


class Wrapped(nn.Linear):
    """A layer with a layer in it."""

    def __init__(self):
        super().__init__(6, 5)
        self.inner = nn.Linear(6, 6)

    def forward(self, x):
        return super().forward(self.inner(x).relu())


def test_a_layer_in_a_layer_counts_once():
    model, x = fill(nn.Sequential(Wrapped(), nn.ReLU(), nn.Linear(5, 4))), numbers(2, 6)
    layers = coupled_channels(model, (x,)).layers
    assert {name: layer.macs for name, layer in layers.items()} == {
        "0.weight": 30, "0.inner.weight": 36, "2.weight": 20,
    }  # fmt: skip


class Upwards(nn.Module):
    """Transposed convolutions with more rows than columns, and with fewer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3)
        self.narrow = nn.ConvTranspose2d(12, 8, 2, stride=2)
        self.wide = nn.ConvTranspose2d(8, 16, 2)
        self.last = nn.ConvTranspose2d(16, 2, 2)

    def forward(self, x):
        x = self.narrow(self.first(x).relu()).relu()
        return self.last(self.wide(x).relu())


def upwards():
    model, images = fill(Upwards()), numbers(2, 3, 8, 8)
    channels = coupled_channels(model, (images,))
    reparameterize(model, start="trained")
    return model, channels, images


@pytest.mark.parametrize("name", ["narrow", "wide"])
def test_the_norm_of_a_transposed_convolution_is_that_of_its_outputs(name):
    model, channels, _ = upwards()
    norms = channel_norms(model, channels)[channels.layers[f"{name}.weight"].rows]
    rows = latents(model)[f"{name}.weight"].transpose(0, 1).flatten(1)
    torch.testing.assert_close(norms, rows.square().mean(1).sqrt())
    with torch.no_grad():
        latents(model)[f"{name}.weight"][:, 3] = 0
    alive = living(channels, nonzero_slices(model, channels))
    gone = (~alive).nonzero().flatten().tolist()
    assert gone == [class_of(channels, name, 3)]


@pytest.mark.parametrize("target", [0.7, 0.3])
def test_transposed_convolutions_are_cut_as_chosen(target):
    model, channels, images = upwards()
    gone = choose_gone(model, channels, target)
    take_out(model, channels, gone)
    share = macs_share(model, channels)
    assert 0.8 * target < share <= target
    plain = materialize(model.eval())
    small = prune(plain, (images,)).model
    dense = count_macs(plain, images).macs
    assert count_macs(small, images).macs == pytest.approx(share * dense, rel=0.01)


def test_encoder_layers_and_attention_have_multiply_adds():
    """In evaluation mode torch runs them as one operation, which nothing counts."""
    images = numbers(2, 6, 12)
    model = nn.Sequential(
        nn.Linear(12, 32), nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    )
    channels = coupled_channels(fill(model), (images,))
    dense = count_macs(model.eval(), images).macs
    assert channels.layers["1.linear1.weight"].macs == 6 * 32 * 64
    assert channels.macs(torch.ones(channels.count)) == dense
    reparameterize(model)
    take_out(model, channels, choose_gone(model, channels, 0.7))
    small = prune(materialize(model.eval()), images).model
    share = count_macs(small, images).macs / dense
    assert share == pytest.approx(macs_share(model, channels), rel=0.01)
    assert 0.6 < share <= 0.7


def test_a_network_without_such_layers_is_refused():
    with pytest.raises(GraphError, match="no layer"):
        coupled_channels(nn.Sequential(nn.ReLU()), (numbers(2, 3, 8, 8),))


def test_looking_up_an_embedding_multiplies_nothing():
    model = nn.Sequential(nn.Embedding(11, 6), nn.Linear(6, 7), nn.Linear(7, 5))
    channels = coupled_channels(model, (words(2, 4),))
    every = torch.ones(channels.count, dtype=torch.bool)
    assert channels.macs(every) == 4 * (6 * 7 + 7 * 5)
