"""`finalize` in a loop of one's own: any network, any inputs, any outputs."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import lilnetx_cli as lilnetx
import lnx
from lilnetx_cli.calls import calls_of
from lilnetx_cli.errors import InputError, UsageError
from lilnetx_cli.quantization.outputs import change_of, outputs_of
from tests.nn.making import fill, lively, numbers, words

WORDS, LENGTH, WIDTH = 32, 48, 24


class Block(nn.Module):
    """Causal attention of one head, and a layer."""

    def __init__(self):
        super().__init__()
        self.before, self.norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.mlp = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, mask):
        q, k, v = self.qkv(self.before(x)).chunk(3, -1)
        x = x + nn.functional.scaled_dot_product_attention(q, k, v, mask)
        return x + nn.functional.gelu(self.mlp(self.norm(x)))


class Language(nn.Module):
    """A small GPT: positions of its own, and a head tied to the embedding."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.positions = nn.Parameter(torch.zeros(1, LENGTH, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        self.head.weight = self.words.weight
        self.register_buffer("mask", torch.ones(LENGTH, LENGTH).tril().log())

    def forward(self, tokens, keep=None):
        x = self.words(tokens) + self.positions[:, : tokens.shape[1]]
        if keep is not None:
            x = x * keep[..., None]
        for block in self.blocks:
            x = block(x, self.mask[: x.shape[1], : x.shape[1]])
        return self.head(x)


def convolutions():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
        nn.Linear(72, 4),
    )  # fmt: skip


def recurrent():
    return Last(nn.LSTM(8, 12, batch_first=True))


class Last(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def trained(make):
    """Return a network with latents and side values that look trained."""
    return lilnetx.reparameterize(fill(make()))


def tokens():
    return words(40, LENGTH, count=WORDS)


KEEP = torch.from_numpy(np.random.default_rng(1).integers(0, 2, (40, LENGTH))).float()
CASES = {
    "convolutions": (convolutions, numbers(40, 3, 7, 7)),
    "batches": (convolutions, [numbers(24, 3, 7, 7), numbers(16, 3, 7, 7, seed=1)]),
    "language": (Language, tokens()),
    "two arguments": (Language, (tokens(), KEEP)),
    "named": (Language, {"tokens": tokens(), "keep": KEEP}),
    "batches of names": (Language, [{"tokens": tokens()}, {"tokens": tokens()[:3]}]),
    "states": (recurrent, numbers(16, 5, 8)),
}


def first(inputs):
    """Return the arguments of the first call."""
    batch = inputs[0] if isinstance(inputs, list) else inputs
    if isinstance(batch, dict):
        return (), batch
    return (batch if isinstance(batch, tuple) else (batch,)), {}


@pytest.mark.parametrize("case", CASES)
def test_a_file_computes_what_was_finalized_to_the_bit(case, tmp_path):
    make, inputs = CASES[case]
    model = trained(make)
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    final = lilnetx.finalize(model, inputs)
    size = lilnetx.save(final, tmp_path / "final.lnx", training={"loss": 1.5})
    again = lilnetx.load_model(tmp_path / "final.lnx", model=make())
    args, kwargs = first(inputs)
    with torch.no_grad():
        one, two = final.model(*args, **kwargs), again(*args, **kwargs)
    flat = torch.utils._pytree.tree_leaves(one)
    assert all(map(torch.equal, flat, torch.utils._pytree.tree_leaves(two)))
    assert lively(flat[0])
    assert size < 0.9 * lilnetx.save(model, tmp_path / "alone.lnx")
    assert lnx.load(tmp_path / "final.lnx").training == {"loss": 1.5}
    assert model.training  # and it is as it was
    assert all(torch.equal(t, kept[n]) for n, t in model.state_dict().items())


@pytest.mark.parametrize("case", ["language", "two arguments", "states"])
@pytest.mark.parametrize("tolerance", [0.05, 0.005])
def test_outputs_stay_within_the_tolerance(case, tolerance):
    make, inputs = CASES[case]
    model = trained(make)
    final = lilnetx.finalize(model, inputs, tolerance=tolerance)
    calls = calls_of(inputs)
    wanted = outputs_of(lilnetx.materialize(model).eval(), calls)
    change = change_of(outputs_of(final.model, calls), wanted)
    assert tolerance / 50 < change <= tolerance + 0.002  # decoders have 16 bits


def test_a_language_model_has_no_large_float32_tensor(tmp_path):
    model = trained(Language)
    with torch.no_grad():
        model.positions.mul_(0.1)
    lilnetx.save(lilnetx.finalize(model, tokens()), tmp_path / "final.lnx")
    summary = {t.name: t for t in lnx.summary(tmp_path / "final.lnx").tensors}
    assert summary["positions"].bytes < LENGTH * WIDTH  # less than a byte a number
    assert summary["head.weight"].kind == "alias"
    large = [t for t in summary.values() if t.kind == "exact" and t.name != "mask"]
    assert sum(t.bytes for t in large) < 0.4 * 4 * sum(
        int(np.prod(t.shape)) for t in large
    )


class Unread(nn.Module):
    """Has a matrix that nothing reads, as an expert that no input comes to."""

    def __init__(self):
        super().__init__()
        self.layer, self.expert = nn.Linear(6, 6), nn.Parameter(torch.zeros(12, 6))

    def forward(self, x):
        return self.layer(x)


def test_positions_that_no_input_reaches_are_as_fine_as_others():
    model = trained(Language)
    before = model.positions.detach().clone()
    final = lilnetx.finalize(model, tokens()[:, :8]).model
    squares = (final.positions.detach() - before).square().mean((0, 2))  # (LENGTH,)
    assert 0 < float(squares[8:].mean()) < 2 * float(squares[:8].mean())
    model = trained(Unread)
    before = model.expert.detach().clone()
    after = lilnetx.finalize(model, numbers(50, 6)).model.expert.detach()
    error = (after - before).square().mean() / before.square().mean()
    assert 0 < float(error) < 0.05**2


class Several(nn.Module):
    """Returns a dataclass with a mapping, integers and an infinite mask."""

    def __init__(self):
        super().__init__()
        self.large, self.small = nn.Linear(6, 5), nn.Linear(6, 5)

    def forward(self, x):
        mask = torch.where(x[:, :5] > 0, 0.0, -torch.inf)
        return Found(
            {"large": 100 * self.large(x)}, [self.small(x) + mask], x.argmax(1)
        )


@dataclass
class Found:
    scores: dict
    masked: list
    classes: torch.Tensor


def test_every_tensor_of_the_outputs_counts():
    model, x = trained(Several), numbers(64, 6)
    final = lilnetx.finalize(model, x, tolerance=0.01)
    with torch.no_grad():
        before, after = lilnetx.materialize(model)(x), final.model(x)
    small, new = before.masked[0], after.masked[0]
    finite = small.isfinite()
    assert torch.equal(finite, new.isfinite())
    for one, two in (
        (small[finite], new[finite]),
        (before.scores["large"], after.scores["large"]),
    ):
        change = (two - one).square().mean().sqrt() / one.square().mean().sqrt()
        assert 0 < float(change) <= 0.012


class Buffers(nn.Module):
    """A measured mean, a table of frequencies, and a buffer that nothing reads."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(20, 4)
        self.register_buffer("mean", numbers(20))
        self.register_buffer("table", torch.linspace(0.1, 3.3, 20))
        self.register_buffer("idle", numbers(20, seed=3))
        self.register_buffer("secret", numbers(20, seed=4), persistent=False)

    def forward(self, x):
        return self.layer((x - self.mean) * self.table + self.secret)


def test_measured_buffers_are_rounded_and_others_stay():
    model = trained(Buffers)
    final = lilnetx.finalize(model, numbers(50, 20))
    for name in ("table", "idle", "secret"):
        assert torch.equal(getattr(final.model, name), getattr(model, name))
    assert not torch.equal(final.model.mean, model.mean)
    assert torch.allclose(final.model.mean, model.mean, atol=0.2)


def test_what_is_named_or_excluded_keeps_every_bit():
    model = nn.Sequential(
        nn.Linear(6, 9), nn.LayerNorm(9), nn.Linear(9, 7), nn.Linear(7, 3)
    )
    model = lilnetx.reparameterize(fill(model), exclude=["2"])
    final = lilnetx.finalize(model, numbers(50, 6), exact=["1", "3.bias"]).model
    for name in ("1.weight", "1.bias", "2.weight", "3.bias"):
        assert torch.equal(final.state_dict()[name], model.state_dict()[name])
    assert not torch.equal(final[2].bias, model[2].bias)


class Drawn(nn.Module):
    """Draws noise in evaluation mode, as a generative model does."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        return self.layer(x + torch.randn_like(x))


def test_networks_that_draw_numbers_are_compared_on_the_same_ones():
    model, state = trained(Drawn), torch.get_rng_state()
    final = lilnetx.finalize(model, numbers(50, 6)).model
    assert torch.equal(torch.get_rng_state(), state)
    steps = final.layer.bias.detach() * 2**10
    assert not bool(steps.frac().any())


@pytest.mark.parametrize(
    ("model", "inputs", "options", "error", "text"),
    [
        (nn.Linear(3, 3), numbers(4, 3), {}, UsageError, "has no latents"),
        (
            None,
            numbers(4, 5),
            {},
            InputError,
            "does not run on the inputs: RuntimeError",
        ),
        (None, "images", {}, InputError, "is a str, expected a tensor"),
        (None, [], {}, InputError, "no inputs are given"),
        (None, numbers(4, 3), {"exact": ["bios"]}, UsageError, "did you mean 'bias'"),
    ],
)
def test_what_cannot_be_finalized_is_said_in_one_line(
    model, inputs, options, error, text
):
    model = lilnetx.reparameterize(fill(nn.Linear(3, 3))) if model is None else model
    with pytest.raises(error, match=text) as caught:
        lilnetx.finalize(model, inputs, **options)
    assert "\n" not in str(caught.value)


def test_one_image_is_too_few_for_batch_norms():
    model = lilnetx.reparameterize(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    with pytest.raises(InputError, match="batch norms cannot be measured"):
        lilnetx.finalize(model, numbers(1, 3))


def test_a_finalized_network_that_was_changed_is_not_written(tmp_path):
    model = trained(convolutions)
    final = lilnetx.finalize(model, numbers(40, 3, 7, 7))
    with torch.no_grad():
        final.model[0].weight.mul_(1.5)
    with pytest.raises(InputError, match="finalize it again"):
        lilnetx.save(final, tmp_path / "final.lnx")
