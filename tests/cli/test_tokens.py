"""Networks that take integers: a small transformer of the user's own, all the way."""

import pytest
import torch

import lilnetx_cli as lilnetx
from lilnetx_cli.errors import UsageError
from lilnetx_cli.export.onnx import open_onnx
from lilnetx_cli.models import build
from lilnetx_cli.models.inputs import InputForm, example_input, parse_form
from tests.pruning.test_rules import filled

TRANSFORMER = """
import torch
import torch.nn.functional as F
from torch import nn

WORDS, WIDTH, HEADS = 7, 8, 2

class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.value, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        parts = (self.query(x), self.key(x), self.value(x))
        query, key, value = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts
        )
        scores = query @ key.mT / query.shape[-1] ** 0.5
        return self.out((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))

class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.places, self.words = nn.Embedding(32, WIDTH), nn.Embedding(WORDS, WIDTH)
        self.norm, self.attention = nn.LayerNorm(WIDTH), Attention()
        self.wide, self.narrow = nn.Linear(WIDTH, 16), nn.Linear(16, WIDTH)
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, words):
        x = self.words(words) + self.places(torch.arange(words.shape[1]))
        x = x + self.attention(self.norm(x))
        return self.head(x + self.narrow(F.gelu(self.wide(x), approximate="tanh")))

def transformer():
    return Transformer()
"""
FORM = ("--input-shape", "12:int64")
WORDS = (torch.arange(3 * 12) * 5 % 7).reshape(3, 12)


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    """A file of code, and one of its network: 8 of 16 and 4 of 8 channels dead."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "mine.py").write_text(TRANSFORMER)
    name = f"{folder / 'mine.py'}:transformer"
    network = filled(build(name, {})).float()
    with torch.no_grad():
        for layer in (network.wide, network.attention.value):
            layer.weight[1::2] = 0
            layer.bias[1::2] = 0
    lilnetx.save(network, folder / "words.lnx")
    return folder / "words.lnx", name, network


@pytest.mark.parametrize("suffix", ["pt", "pt2", "onnx"])
def test_a_transformer_loses_its_dead_channels(here, factory, tmp_path, suffix):
    file, name, network = factory
    target = tmp_path / f"out.{suffix}"
    done = here("decompress", file, "--pruned", "--model", name, *FORM, "-o", target,
                "--json")  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["removed_channels"] == 8 + 2  # those of two heads are coupled
    wanted = network(WORDS).detach()
    if suffix == "pt":
        state = torch.load(target, weights_only=True)
        assert state["wide.weight"].shape == (8, 8)
        assert state["attention.value.weight"].shape == (4, 8)
        return
    if suffix == "pt2":
        given = torch.export.load(target).module()(WORDS)
    else:
        given = torch.from_numpy(open_onnx(target)(WORDS.numpy()))
    assert torch.allclose(given, wanted, atol=1e-4 * float(wanted.abs().max()))


def test_work_and_times_of_tokens(here, factory):
    file, name, _ = factory
    verb = ("evaluate", file, "--model", name, *FORM, "--json")
    done = here(*verb, "--pruned", "--no-latency")
    assert done.code == 0, done.err
    assert done.json["accuracy"] is None
    assert 0 < done.json["pruned"]["macs"] < done.json["macs"]
    done = here(*verb, "--seconds", "0.01")
    assert done.code == 0, done.err
    assert len(done.json["latencies_ms"]) == 4  # two engines, two batches


def test_tokens_are_asked_for_and_kinds_are_checked(here, factory):
    file, name, _ = factory
    done = here("evaluate", file, "--model", name)
    assert done.code == 2
    assert "128:int64 for tokens" in done.message
    done = here("evaluate", file, "--model", name, "--input-shape", "12", "--json")
    assert done.code == 2
    assert "does not take inputs of shape (12,)" in done.json["error"]["message"]


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        ("3x224x224", (3, 224, 224), torch.float32),
        ("128:int64", (128,), torch.int64),
        ("4X16:int32", (4, 16), torch.int32),
        ("80x100:float32", (80, 100), torch.float32),
    ],
)
def test_forms(text, shape, dtype):
    assert parse_form(text) == InputForm(shape, dtype)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("128:int8", "names the type 'int8', expected one of float32, int64, int32"),
        ("128:", "names the type ''"),
        (":int64", "is not a shape"),
        ("tokens:128", "is not a shape"),
    ],
)
def test_no_forms(text, message):
    with pytest.raises(UsageError, match=message):
        parse_form(text)


class Looks(torch.nn.Module):
    """Two tables, of which one takes what the network takes."""

    def __init__(self):
        super().__init__()
        self.kinds, self.words = torch.nn.Embedding(3, 4), torch.nn.Embedding(9, 4)

    def forward(self, words):
        return self.kinds(torch.zeros_like(words)) + self.words(words)


class LooksUp(torch.nn.Module):
    def forward(self, words):
        return torch.ones(5, 4)[words]


@pytest.mark.parametrize(("network", "most"), [(Looks(), 8), (LooksUp(), 1)])
def test_tokens_stay_below_what_is_looked_up(network, most):
    example = example_input(None, InputForm((12,), torch.int64), network)
    assert example.shape == (2, 12)
    assert example.dtype == torch.int64
    assert (int(example.min()), int(example.max())) == (0, most)
