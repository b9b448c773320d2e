"""Every kind of layer, on its own: trained, saved, read, and equal."""

import copy

import pytest
import torch
from torch import nn

import lilnetx_cli as lilnetx
from lilnetx_cli.nn import latent_weights, materialize, penalty, reparameterize
from tests.nn.making import fill, lively, numbers, words


class Attention(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **options)
        self.sizes = options.get("kdim", 8), options.get("vdim", 8)

    def forward(self, x):
        keys = x[..., :1].repeat(1, 1, self.sizes[0])
        values = x[..., :1].repeat(1, 1, self.sizes[1])
        return self.attention(x, keys, values, need_weights=False)[0]


class First(nn.Module):
    """A recurrent layer, its first output alone."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


class Tied(nn.Module):
    """An embedding whose weight is the head's, as language models have it."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.body = nn.Linear(6, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(torch.tanh(self.body(self.embedding(x))))


class Twice(nn.Module):
    """One module in two places."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(5, 5)
        self.other = self.one

    def forward(self, x):
        return self.other(torch.relu(self.one(x)))


# A network of one kind, made inputs for it, and how many weights become latents.
LAYERS = {
    "conv1d": (lambda: nn.Conv1d(4, 6, 5), numbers(2, 4, 20), 1),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 5)), numbers(2, 4, 9, 9), 1),
    "conv3d": (lambda: nn.Conv3d(2, 4, 3), numbers(2, 2, 5, 5, 5), 1),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, 2), numbers(2, 4, 5, 5), 1),
    "grouped": (lambda: nn.Conv2d(4, 8, 3, groups=2), numbers(2, 4, 7, 7), 1),
    "depthwise": (lambda: nn.Conv2d(6, 6, 3, groups=6), numbers(2, 6, 7, 7), 1),
    "dilated": (lambda: nn.Conv2d(3, 5, 3, dilation=2), numbers(2, 3, 9, 9), 1),
    "linear": (lambda: nn.Linear(7, 9), numbers(3, 7), 1),
    "bilinear ends": (lambda: nn.Sequential(nn.Linear(4, 4)), numbers(3, 4), 1),
    "embedding": (lambda: nn.Embedding(11, 6, padding_idx=0), words(2, 5), 1),
    "bag": (lambda: nn.EmbeddingBag(11, 6), words(2, 5), 1),
    "attention": (Attention, numbers(2, 5, 8), 2),
    "attention apart": (lambda: Attention(kdim=3, vdim=4), numbers(2, 5, 8), 4),
    "rnn": (lambda: First(nn.RNN(4, 5)), numbers(3, 2, 4), 2),
    "lstm": (lambda: First(nn.LSTM(4, 5, 2, bidirectional=True)), numbers(3, 2, 4), 8),
    "projected lstm": (lambda: First(nn.LSTM(4, 6, proj_size=3)), numbers(3, 2, 4), 3),
    "gru": (lambda: First(nn.GRU(4, 5, batch_first=True)), numbers(2, 3, 4), 2),
    "tied": (Tied, words(2, 5), 2),
    "shared": (Twice, numbers(3, 5), 1),
}


def make(name):
    build, inputs, count = LAYERS[name]
    return fill(build()), inputs, count


def step(model, x):
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(2):
        optimizer.zero_grad()
        (model(x).square().mean() + penalty(model).total).backward()
        optimizer.step()


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_trains_and_goes_through_a_file(name, tmp_path):
    model, x, count = make(name)
    keys = list(model.state_dict())
    reparameterize(model)
    assert len(list(latent_weights(model))) == count
    before = [latent.detach().clone() for _, _, latent in latent_weights(model)]
    step(model.train(), x)
    after = [latent for _, _, latent in latent_weights(model)]
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    plain = materialize(model).eval()
    assert lively(plain(x))
    assert list(plain.state_dict()) == keys
    assert type(plain).__name__ == type(make(name)[0]).__name__
    torch.testing.assert_close(plain(x), model.eval()(x), rtol=1e-5, atol=1e-6)
    path = tmp_path / "m.lnx"
    lilnetx.save(model, path)
    again = lilnetx.load_model(path, model=make(name)[0])
    torch.testing.assert_close(again(x), plain(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", LAYERS)
def test_a_trained_layer_computes_the_same(name):
    model, x, _ = make(name)
    wanted = model.eval()(x)
    assert lively(wanted)
    change = (reparameterize(model)(x) - wanted).norm()
    assert 0 < change < 0.05 * wanted.norm()


@pytest.mark.parametrize("name", LAYERS)
def test_copies_and_state_dicts(name):
    model, x, _ = make(name)
    reparameterize(model)
    model.to("cpu", torch.float32)
    step(model.train(), x)
    twin = copy.deepcopy(model).eval()
    assert lively(twin(x))
    torch.testing.assert_close(twin(x), model.eval()(x), rtol=0, atol=0)
    step(twin.train(), x)
    assert not torch.equal(twin.eval()(x), model(x))
    other = reparameterize(make(name)[0])
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other.eval()(x), model(x), rtol=0, atol=0)


def test_a_tied_weight_stays_tied(tmp_path):
    model, x, _ = make("tied")
    reparameterize(model)
    names = [name for name, _, _ in latent_weights(model)]
    assert names == ["embedding.weight", "body.weight"]
    torch.testing.assert_close(model.head.weight, model.embedding.weight)
    step(model, x)
    plain = materialize(model)
    assert plain.head.weight is plain.embedding.weight
    import lnx

    lilnetx.save(model, tmp_path / "m.lnx")
    kinds = {t.name: t.kind for t in lnx.summary(tmp_path / "m.lnx").tensors}
    assert kinds["head.weight"] == "alias"


def test_a_weight_tied_to_an_excluded_module_stays_as_it_is():
    model, x, _ = make("tied")
    reparameterize(model, exclude=["head"])
    assert [name for name, _, _ in latent_weights(model)] == ["body.weight"]
    assert model.head.weight is model.embedding.weight
    assert model(x).shape == (2, 5, 11)


def test_exclusion_by_type():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    reparameterize(model, exclude=[nn.Linear])
    assert [name for name, _, _ in latent_weights(model)] == ["0.weight"]


@pytest.mark.parametrize("options", [{"max_norm": 1.0}, {"sparse": True}])
def test_embeddings_that_change_themselves_are_left(options):
    model = nn.Sequential(nn.Embedding(5, 4, **options), nn.Linear(4, 4))
    reparameterize(model)
    assert [name for name, _, _ in latent_weights(model)] == ["1.weight"]


def test_latents_of_a_recurrent_layer_get_gradients():
    model, x, _ = make("lstm")
    reparameterize(model)
    model(x).sum().backward()
    for name, _, latent in latent_weights(model):
        assert latent.grad is not None, name
