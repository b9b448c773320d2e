"""Networks made to be cut wrongly, some hiding it where inputs are like noise."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lilnetx_cli.graph import GraphError
from lilnetx_cli.nn.constant import Constant
from lilnetx_cli.pruning import prune
from tests.pruning.made import Net


@torch.no_grad()
def dead(layer, *rows, bias=0.0):
    layer.weight[list(rows)] = 0
    layer.bias[list(rows)] = bias
    return layer


def gate(x):
    """Nothing on noise, something elsewhere."""
    return F.relu(x.mean() - 5)


class NoBias(nn.Linear):
    """Ignores its bias."""

    def forward(self, x):
        return F.linear(x, self.weight)


class LateBias(nn.Linear):
    def forward(self, x):
        return F.relu(F.linear(x, self.weight)) + self.bias


class Counting(nn.Module):
    """A buffer that is zero until it is not."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)
        self.register_buffer("seen", torch.zeros(8))

    def forward(self, x):
        y = self.b(self.a(x) * self.seen)
        self.seen.add_((x.mean() > 4).to(x.dtype))
        return y


def hooked():
    layer = dead(nn.Linear(6, 8), *range(8), bias=1.0)
    layer.register_forward_hook(lambda _, given, output: output * given[0].mean())
    return layer


def in_place(s, x):
    x += s.b(F.relu(s.a(x)))
    return x


def twice_grouped(s, x):
    return F.relu((s.g(F.relu(s.a(x))) + s.g(F.relu(s.b(x)))).mean((2, 3)) - 30)


def two_forms(s, x):
    one = F.conv2d(s.a(x), s.g.weight, None, groups=2)
    return one + F.conv2d(s.c(x), s.g.weight)


def halves(s, x):
    one, two = s.a(x).chunk(2, 1)
    return s.b(one * torch.sigmoid(two)) * gate(x)


def quarters(s, x):
    parts = [F.relu(part) for part in s.a(x).chunk(4, 1)]
    return s.b(torch.cat(parts, 1)) * gate(x)


def indices(s, x):
    _, places = F.max_pool2d(F.relu(s.a(x)), 2, return_indices=True)
    return places.double().mean(1) * gate(x)


def doubled(s, x):
    h = s.a(x).view(-1, 2, 4)
    return s.b((torch.cat([h, h], 1) + s.p).flatten(1))


def grouped():
    return {
        "a": dead(nn.Conv2d(3, 8, 3), 0, 4), "b": dead(nn.Conv2d(3, 8, 3), 1, 5),
        "c": dead(nn.Conv2d(3, 4, 3), 1), "g": nn.Conv2d(8, 8, 3, groups=2),
    }  # fmt: skip


def shuffled(s, x):
    h = s.a(x)
    h = h.view(len(x), 8, -1, 1, 1).transpose(1, 2).reshape(len(x), -1)
    return s.b(h) * gate(x)


ATTACKS = {
    "in place": (in_place, lambda: {
        "a": dead(nn.Linear(6, 8), 0, 1, bias=1.0), "b": NoBias(8, 6)}),
    "scales": (lambda s, x: (s.b(F.relu(s.a(x))) * 1e-6, x), lambda: {
        "a": dead(nn.Linear(6, 8), 0, 1, bias=1.0), "b": NoBias(8, 6)}),
    "grouped twice": (twice_grouped, grouped),
    "one weight in two forms": (two_forms, grouped),
    "halves": (halves, lambda: {"a": nn.Linear(6, 2), "b": nn.Linear(1, 3)}),
    "quarters": (quarters, lambda: {"a": nn.Linear(6, 4), "b": nn.Linear(4, 3)}),
    "pool over channels": (
        lambda s, x: s.b(F.avg_pool1d(F.relu(s.a(x)), 3, 1, 1)) * gate(x),
        lambda: {"a": dead(nn.Linear(6, 8), 0, 4), "b": nn.Linear(8, 3)}),
    "late bias": (lambda s, x: s.b(F.relu(s.a(x))) * gate(x), lambda: {
        "a": dead(nn.Linear(6, 8), 0, 1, bias=1.0), "b": LateBias(8, 6)}),
    "hooks": (lambda s, x: s.b(F.relu(s.a(x))) * gate(x), lambda: {
        "a": hooked(), "b": nn.Linear(8, 3)}),
    "indices of a pool": (indices, lambda: {"a": dead(nn.Conv2d(3, 8, 3), 0, 4)}),
    "joined along channels": (doubled, lambda: {
        "a": dead(nn.Linear(6, 8), 0), "b": nn.Linear(16, 3),
        "p": nn.Parameter(torch.randn(4, 1))}),
    "data in a number": (
        lambda s, x: s.b(s.a(x) * x.long().max().item()) * gate(x),
        lambda: {"a": dead(nn.Linear(6, 8), 0, 1, bias=1.0), "b": nn.Linear(8, 3)}),
    "shuffled": (shuffled, lambda: {
        "a": dead(nn.Linear(6, 16), *range(8)), "b": nn.Linear(16, 3)}),
    "all dead": (lambda s, x: s.b(F.relu(s.a(x))), lambda: {
        "a": dead(nn.Linear(6, 8), *range(8), bias=1.0), "b": nn.Linear(8, 3)}),
    "no channels": (lambda s, x: s.b(F.relu(s.a(x))), lambda: {
        "a": nn.Linear(6, 0), "b": nn.Linear(0, 3)}),
}  # fmt: skip


def given(layers):
    image = isinstance(layers["a"], nn.Conv2d)
    shape = (2, 3, 8, 8) if image else (2, 6)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
@pytest.mark.parametrize("name", ATTACKS)
def test_equal_on_any_input_or_refused(name):
    torch.manual_seed(0)
    function, make = ATTACKS[name]
    layers = make()
    dense, example = Net(function, **layers).eval(), given(layers)
    kept = example.clone()
    try:
        smaller = prune(dense, (example,)).model
    except GraphError:
        smaller = dense
    assert torch.equal(example, kept)
    wide, narrow = copy.deepcopy(dense).double(), copy.deepcopy(smaller).double()
    for probe in (kept, 1000 * kept, kept + 50, -kept.abs()):
        wanted, found = (net(probe.clone().double()) for net in (wide, narrow))
        for one, two in zip(*map(tensors, (wanted, found)), strict=True):
            size = max(1e-12, float(one.abs().max())) if one.numel() else 1
            assert not one.numel() or float((one - two).abs().max()) <= 1e-5 * size


def tensors(output):
    return output if isinstance(output, tuple) else (output,)


@torch.no_grad()
def test_a_buffer_that_changes_is_no_constant():
    torch.manual_seed(0)
    dense, x = Counting().eval(), torch.randn(2, 6)
    smaller = prune(dense, (x,)).model
    assert dense.seen.eq(0).all()
    assert smaller.seen.eq(0).all()
    for probe in (x, x + 50, x + 50):
        assert torch.allclose(dense(probe), smaller(probe))


@torch.no_grad()
def test_what_passes_the_check_runs_as_it_is():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    dead(layer.linear1, *range(16))
    words = torch.randn(2, 4, 8)
    smaller = prune(layer, (words,)).model
    assert torch.allclose(smaller(words), layer(words), atol=1e-5)
    assert not any(isinstance(m, Constant) for m in smaller.modules())


def test_named_refusals():
    x = torch.randn(2, 6)
    with pytest.raises(GraphError, match="complex"):
        prune(nn.Linear(6, 3).to(torch.complex64), (x,))
    old = nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 3))).eval()
    old(x)
    with pytest.raises(GraphError, match="cannot be copied"):
        prune(old, (x,))
    with pytest.raises(GraphError, match="cannot be traced"):
        prune(nn.Linear(6, 3), (torch.randn(2, 5),))
