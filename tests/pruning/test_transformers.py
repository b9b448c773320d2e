"""Attention as people write it: what of it can be cut, and what its code holds."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lilnetx_cli.pruning import Kept, prune
from tests.pruning.deadening import difference
from tests.pruning.test_rules import filled

WIDTH, HEADS, WORDS, LENGTH = 8, 2, 11, 6


class Attention(nn.Module):
    """Heads of however many channels there are, and a fixed scale."""

    def __init__(self):
        super().__init__()
        for name in ("query", "key", "value", "out"):
            setattr(self, name, nn.Linear(WIDTH, WIDTH))

    def heads(self, x):
        return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)

    def mix(self, query, key, value):
        return (query @ key.mT * 0.5).softmax(-1) @ value

    def forward(self, x):
        parts = (self.heads(f(x)) for f in (self.query, self.key, self.value))
        return self.out(self.mix(*parts).transpose(1, 2).flatten(2))


class Scaled(Attention):
    """The scale is what the code finds."""

    def mix(self, query, key, value):
        scores = query @ key.mT / query.shape[-1] ** 0.5
        return scores.softmax(-1) @ value


class ScaledByATensor(Attention):
    def mix(self, query, key, value):
        scale = torch.sqrt(torch.tensor(query.shape[-1], dtype=query.dtype))
        return (query @ key.mT / scale).softmax(-1) @ value


class Hidden(Attention):
    """The scale shows on inputs alone that are not like noise."""

    def mix(self, query, key, value):
        scores = query @ key.mT
        seldom = F.relu(scores.mean() - 1000)
        return (scores / query.shape[-1] ** 0.5 * seldom).softmax(-1) @ value


class Fused(Attention):
    def mix(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)


class FusedAndFixed(Attention):
    def mix(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value, scale=0.5)


class FusedAndTold(Attention):
    def mix(self, query, key, value):
        scale = query.shape[-1] ** -0.5
        return F.scaled_dot_product_attention(query, key, value, scale=scale)


class HardCoded(Attention):
    """The size of a head is a number of the code."""

    def heads(self, x):
        return x.view(len(x), -1, HEADS, WIDTH // HEADS).transpose(1, 2)


class Einsum(Attention):
    def mix(self, query, key, value):
        weights = torch.einsum("bhqd,bhkd->bhqk", query, key).softmax(-1)
        return torch.einsum("bhqk,bhkd->bhqd", weights, value)


class Block(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = attention()
        self.wide, self.narrow = nn.Linear(WIDTH, 16), nn.Linear(16, WIDTH)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.narrow(F.gelu(self.wide(self.norm2(x)), approximate="tanh"))


class Transformer(nn.Module):
    """Integers in, scores of words out."""

    def __init__(self, attention=Attention):
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.places = nn.Embedding(32, WIDTH)
        self.blocks = nn.Sequential(Block(attention), Block(attention))
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, words):
        places = torch.arange(words.shape[1], device=words.device)
        return self.head(self.blocks(self.words(words) + self.places(places)))


@torch.no_grad()
def with_dead(attention, *names):
    """Make channels 1 and 3 of each head zero, and half of what MLPs hold."""
    network = filled(Transformer(attention))
    for block in network.blocks:
        for layer in (getattr(block.attention, name) for name in names):
            layer.weight[1::2] = 0
            layer.bias[1::2] = 0
        block.wide.weight[::2] = 0
    return network


def words(batch=2, length=LENGTH):
    return (torch.arange(batch * length) * 7 % WORDS).reshape(batch, length)


ALL = {"query": 4, "key": 4, "value": 4}
ONLY_VALUES = {"query": 8, "key": 8, "value": 4}
NONE = {"query": 8, "key": 8, "value": 8}
CUT = {
    Attention: (ALL, None),
    Einsum: (ALL, None),
    FusedAndFixed: (ALL, None),
    Scaled: (ONLY_VALUES, "scaled by the number of channels"),
    ScaledByATensor: (ONLY_VALUES, "scaled by the number of channels"),
    Hidden: (ONLY_VALUES, "scaled by the number of channels"),
    FusedAndTold: (ONLY_VALUES, "scaled by the number of channels"),
    Fused: (ONLY_VALUES, "attention scales by their number"),
    HardCoded: (NONE, "hard-coded size in view"),
}


@torch.no_grad()
@pytest.mark.parametrize("attention", CUT)
def test_channels_of_heads(attention):
    wanted, reason = CUT[attention]
    dense = with_dead(attention, *ALL)
    found = prune(dense, (words(),))
    for given in (words(), words(3), words(1, 9)):
        assert difference(dense, found.model, given) < 1e-9
    for block in found.model.blocks:
        assert block.wide.out_features == 8
        for name, count in wanted.items():
            assert getattr(block.attention, name).out_features == count
    kept = [
        Kept(f"blocks.{number}.attention.{name}", 4, reason)
        for number in (0, 1)
        for name in ALL
        if wanted[name] == WIDTH
    ]
    assert list(found.held) == kept


@torch.no_grad()
def test_one_dead_factor_takes_the_other_along():
    """Scores need no channel of keys where that of queries is zero."""
    dense = with_dead(Attention, "query")
    found = prune(dense, (words(),))
    assert difference(dense, found.model, words()) < 1e-9
    for block in found.model.blocks:
        assert block.attention.query.out_features == 4
        assert block.attention.key.out_features == 4
        assert block.attention.value.out_features == 8
