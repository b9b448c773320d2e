"""Operations that channels pass, and those that mix them: what leaves, what stays."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lilnetx_cli.pruning import prune
from tests.pruning.deadening import difference

CHANNELS, SIZE = 8, 6


def numbers(*shape, seed=0):
    """Return made numbers, the same with every version of torch."""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@torch.no_grad()
def filled(network):
    """Give a network weights and statistics that no version of torch draws."""
    network = network.double().eval()
    for seed, (name, tensor) in enumerate(network.state_dict().items()):
        if tensor.is_floating_point():
            made = numbers(*tensor.shape, seed=seed)
            tensor.copy_(made.abs() + 0.5 if name.endswith("running_var") else made)
    return network


class Net(nn.Module):
    """A layer, an operation on its channels, and two layers that read what it gives."""

    def __init__(self, function, width, **layers):
        super().__init__()
        self.function = function
        self.stem, self.norm = nn.Conv2d(3, CHANNELS, 3), nn.BatchNorm2d(CHANNELS)
        self.after, self.head = nn.Linear(width, CHANNELS), nn.Linear(CHANNELS, 5)
        self.table = nn.Parameter(torch.ones(SIZE, 4))
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        y = self.function(self, self.norm(self.stem(x)))
        flat = y.flatten(2).transpose(1, 2) if y.dim() > 2 else y
        return self.head(F.relu(self.after(flat)))


@torch.no_grad()
def deaden(network, dead, *, gated):
    """Make channels zero by their norm, or constant by their filter."""
    if gated:
        network.norm.weight[list(dead)] = 0
        network.norm.bias[list(dead)] = 0
    else:
        network.stem.weight[list(dead)] = 0
    network.after.weight[::2] = 0
    return network


def images():
    return numbers(2, 3, SIZE + 2, SIZE + 2, seed=99)


def pruned(function, dead=(1, 3, 5, 7), *, gated, layers=None):
    example = images()
    with torch.no_grad():
        probe = filled(Net(function, 1, **(layers or {})))
        width = function(probe, probe.norm(probe.stem(example))).shape[1]
        dense = filled(Net(function, width, **(layers or {})))
    deaden(dense, dead, gated=gated)
    smaller = prune(dense, (example,))
    assert difference(dense, smaller.model, example) < 1e-9
    assert difference(dense, smaller.model, numbers(3, 3, 8, 8, seed=7)) < 1e-9
    assert smaller.model.after.out_features == CHANNELS // 2
    return smaller


def positions(y):
    return y.flatten(2).transpose(1, 2)


def self_attention(_, y):
    t = positions(y)
    return ((t @ t.transpose(1, 2)).softmax(-1) @ t).transpose(1, 2)


def given_attention(_, y):
    t = positions(y)
    scores = torch.full((2, 1, len(t[0]), 4), 0.5, dtype=t.dtype)[:1]
    scores = scores.expand(len(t), -1, -1, -1)
    return F.scaled_dot_product_attention(scores, scores, t[:, None])[:, 0].mT


def split_attention(_, y):
    parts = y.unflatten(1, (2, -1))
    return (parts * parts.softmax(1)).sum(1)


def normalized(_, y):
    return F.normalize(y, dim=2)


def halves(_, y):
    return F.glu(y, 1)


def later_places(_, y):
    return y.masked_fill(torch.arange(SIZE) > 3, 0.0)


# Each with whether a constant other than zero passes.
PASS = {
    "gelu of tanh": (lambda _, y: F.gelu(y, approximate="tanh"), True),
    "add with a factor": (lambda _, y: torch.add(y, y.abs(), alpha=2), True),
    "subtract with a factor": (lambda _, y: torch.sub(y, y.tanh(), alpha=-0.5), True),
    "divide and round": (lambda _, y: torch.div(y, 0.1, rounding_mode="floor"), True),
    "largest of a dimension": (lambda _, y: y.max(2).values, True),
    "smallest, kept": (lambda _, y: y.min(dim=3, keepdim=True)[0], True),
    "place of the largest": (lambda _, y: y.argmax(2).to(y.dtype) * y.amin(2), False),
    "median": (lambda _, y: y.median(2).values, True),
    "deviation": (lambda _, y: y.std((2, 3)), True),
    "variance and mean": (lambda _, y: torch.cat(torch.var_mean(y, (2, 3)), 1), True),
    "sum of places": (lambda _, y: y.sum((2, 3)), False),
    "sum without a dimension kept": (lambda _, y: y.sum(3, keepdim=True), False),
    "logarithm of a sum": (lambda _, y: y.logsumexp((2, 3)) * y.amax((2, 3)), False),
    "any": (lambda _, y: (y > 0).any(2).to(y.dtype) * y.amax(2), True),
    "running sum": (lambda _, y: y.cumsum(2), False),
    "sorted": (lambda _, y: y.sort(2)[0], True),
    "the first of the largest": (lambda _, y: y.topk(2, dim=3).values, True),
    "length of one": (normalized, False),
    "instance norm": (lambda _, y: F.instance_norm(y), True),
    "halves that gate": (halves, True),
    "one of two": (lambda _, y: torch.where(y > 0, y, 0.1 * y), True),
    "one or a number": (lambda _, y: torch.where(y > 0, y, -1.5), True),
    "filled where negative": (lambda _, y: y.masked_fill(y < 0, 0.5), True),
    "filled by place": (later_places, False),
    "zeros like": (lambda _, y: torch.maximum(y, torch.zeros_like(y)), True),
    "new zeros": (lambda _, y: torch.cat([y, y.new_zeros(len(y), 2, 6, 6)], 1), True),
    "and": (lambda _, y: ((y > 0) & (y < 1)).to(y.dtype) * y, True),
    "half precision": (lambda _, y: y.half().to(y.dtype), False),
    "the type of another": (lambda _, y: (y > 0).type_as(y) * y, True),
    "nearest, exact": (
        lambda _, y: F.interpolate(y, scale_factor=2, mode="nearest-exact"), True),
    "product over places": (lambda s, y: y @ s.table, False),
    "einsum over places": (
        lambda s, y: torch.einsum("bchw, wv -> bcvh", y, s.table), False),
    "attention over places": (self_attention, False),
    "attention, fused": (given_attention, False),
    "softmax after a view": (split_attention, False),
    "softmax over places": (lambda _, y: y.softmax(-1) * y, False),
    "stacked": (lambda _, y: torch.stack([y, y], 1).amax(1), True),
    "taken apart by place": (lambda _, y: y.unbind(2)[1], True),
    "chosen places": (lambda _, y: y.index_select(2, torch.tensor([2, 0])), True),
    "turned around": (lambda _, y: y.flip(1), True),
    "channels to places": (lambda _, y: F.pixel_shuffle(y, 2), False),
    "places to channels": (lambda _, y: F.pixel_unshuffle(y, 2), True),
    "channels shuffled": (lambda _, y: F.channel_shuffle(y, 2), True),
}  # fmt: skip
DEAD = {"channels to places": (4, 5, 6, 7)}


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("name", PASS)
def test_channels_pass(name, gated):
    function, folds = PASS[name]
    found = pruned(function, DEAD.get(name, (1, 3, 5, 7)), gated=gated)
    stem = found.model.stem
    if gated or folds:
        assert stem.out_channels == 4
        assert found.held == ()
    else:
        assert stem.out_channels == CHANNELS
        (kept,) = found.held
        assert (kept.layer, kept.channels) == ("stem", 4)
        assert kept.reason.startswith("not constant after ")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("statistics", [True, False])
def test_instance_norms_shrink(affine, statistics, gated):
    norm = nn.InstanceNorm2d(CHANNELS, affine=affine, track_running_stats=statistics)
    found = pruned(lambda s, y: s.more(y), gated=gated, layers={"more": norm})
    assert found.held == ()
    assert found.model.more.num_features == 4


def a_jump_where_norms_give_zero(_, y):
    middle = F.instance_norm(y).median(2).values
    return torch.where(middle > 0, middle, -1.5)


def test_a_constant_that_is_zero_but_for_rounding_may_stay():
    """It need not show on every machine; where it does, no more than that stays."""
    found = pruned(a_jump_where_norms_give_zero, (0, 1, 4, 5, 6), gated=False)
    kept = sum(kept.channels for kept in found.held if kept.layer == "stem")
    assert found.model.stem.out_channels == CHANNELS - 5 + kept


MIX = {
    "softmax": (lambda _, y: y.softmax(1), "softmax mixes channels"),
    "mean": (lambda _, y: y * y.mean(1, keepdim=True), "mean mixes channels"),
    "largest": (lambda _, y: y.amax(1, keepdim=True), "amax mixes channels"),
    "deviation": (lambda _, y: y.std(1, keepdim=True), "std mixes channels"),
    "running sum": (lambda _, y: y.cumsum(1), "cumsum mixes channels"),
    "layer norm": (
        lambda _, y: F.layer_norm(y, (8, 6, 6)), "layer_norm mixes channels"),
    "group norm": (lambda _, y: F.group_norm(y, 2), "group_norm mixes channels"),
    "parts of two sizes": (
        lambda _, y: torch.cat(y.split([6, 2], 1), 1),
        "hard-coded size in split_with_sizes"),
    "three parts of eight": (
        lambda _, y: torch.cat(y.chunk(3, 1), 1), "hard-coded size in split"),
    "some": (lambda _, y: y[:, 2:], "hard-coded size in slice"),
    "each": (lambda _, y: sum(y.unbind(1))[:, None], "hard-coded size in unbind"),
    "turned": (lambda _, y: y.roll(1, 1), "roll mixes channels"),
    "product": (
        lambda s, y: y.mT.transpose(1, 3) @ s.mixer,
        "joined with the parameter 'mixer'"),
    "two halves of one": (
        lambda _, y: F.glu(F.pixel_shuffle(y, 2), 1), "glu mixes channels"),
    "frequencies": (lambda _, y: torch.fft.rfft2(y).real, "no rule for fft_rfft2"),
    "a ring": (
        lambda _, y: F.pad(y, (0, 0, 0, 0, 1, 1), "circular"), "pad mixes channels"),
}  # fmt: skip


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("name", MIX)
def test_an_operation_that_mixes_channels_keeps_those_and_no_others(name, gated):
    function, reason = MIX[name]
    layers = {"mixer": nn.Parameter(torch.ones(CHANNELS, 3))}
    found = pruned(function, gated=gated, layers=layers)
    assert found.model.stem.out_channels == CHANNELS
    (kept,) = found.held
    assert (kept.layer, kept.channels) == ("norm" if gated else "stem", 4)
    assert reason in kept.reason
