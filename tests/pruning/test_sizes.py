"""Networks that compute with the sizes of what they get: exact at all, or refused."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lilnetx_cli.graph import GraphError
from lilnetx_cli.pruning import prune
from tests.pruning.made import REFUSED, Net, apart, filled, made, outputs
from tests.pruning.traces import share


def images(size, batch=2):
    return made(batch, 3, size, size)


def sounds(size):
    return made(2, 3, size)


def tokens(size):
    return made(2, size, 3)


def volumes(size):
    return made(2, 3, size, size, size)


def convs(kind=nn.Conv2d, **more):
    """Return layers, each 1 x 1 but for `b`, which takes two steps at once."""

    def make():
        return {
            "a": kind(3, 8, 1), "b": kind(8, 8, 2, stride=2), "c": kind(8, 4, 1),
            **{name: layer() for name, layer in more.items()},
        }  # fmt: skip

    return make


def linears(**more):
    def make():
        return {
            "a": nn.Linear(3, 8), "b": nn.Linear(8, 8), "c": nn.Linear(8, 4),
            **{name: layer() for name, layer in more.items()},
        }  # fmt: skip

    return make


def end(s, y):
    return s.c(F.relu(s.b(y)))


def pad_to_even(s, x):
    y = F.relu(s.a(x))
    height, width = y.shape[-2:]
    return end(s, F.pad(y, (0, -width % 2, 0, -height % 2)))


def pad_if_odd(s, x):
    y = F.relu(s.a(x))
    if y.shape[-1] % 2:
        y = F.pad(y, (0, 1, 0, 1))
    return end(s, y)


def pad_sound(s, x):
    y = F.relu(s.a(x))
    length = math.ceil(y.shape[-1] / 4) * 4
    return end(s, F.pad(y, (0, length - y.shape[-1])))


def pad_volume(s, x):
    y = F.relu(s.a(x))
    return end(s, F.pad(y, (0, y.shape[-1] % 2) * 3))


def pad_to_one_size(s, x):
    y = F.relu(s.a(x))
    return end(s, F.pad(y, (0, 8 - y.shape[-1])))


def over_root(s, x):
    y = F.relu(s.a(x))
    return end(s, y / y.shape[1] ** 0.5)


def over_math_root(s, x):
    y = F.relu(s.a(x))
    return end(s, y / math.sqrt(y.shape[1]))


def times_more(s, x):
    """Times nothing at the size of the example."""
    y = F.relu(s.a(x))
    return end(s, y * (y.shape[1] - 8))


def u_net(s, x):
    skip = F.relu(s.a(x))
    up = F.interpolate(F.max_pool2d(skip, 2), scale_factor=2)
    high, wide = (skip.shape[i] - up.shape[i] for i in (2, 3))
    up = F.pad(up, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
    return end(s, s.d(torch.cat([skip, up], 1)))


def far_branch(s, x):
    y = F.relu(s.a(x))
    return end(s, s.d(y) if x.shape[-1] > 32 else y)


def near_branch(s, x):
    y = F.relu(s.a(x))
    return end(s, s.d(y) if x.shape[-1] > 10 else y)


def one_of_two_weights(s, x):
    y = F.relu(s.a(x))
    weight = s.d.weight if x.shape[-1] > 10 else s.e.weight
    return end(s, F.conv2d(y, weight))


def one_of_two_tensors(s, x):
    one, two = F.relu(s.a(x)), F.relu(s.d(x))
    return end(s, one if x.shape[-1] > 10 else two)


def again_and_again(s, x):
    y = F.relu(s.a(x))
    for _ in range(x.shape[-1] // 8):
        y = F.relu(s.d(y))
    return end(s, y)


def pool_to_half(s, x):
    y = F.relu(s.a(x))
    return end(s, F.adaptive_avg_pool2d(y, (y.shape[2] // 2, y.shape[3] // 2)))


def table_cut(s, x):
    y = F.relu(s.a(x))
    return end(s, y * s.table.weight[0, : y.shape[1], None])


def table_added(s, x):
    y = F.relu(s.a(x))
    return end(s, y + s.table.weight[:, : y.shape[1], None])


def table_resized(s, x):
    y = F.relu(s.a(x))
    table = s.table.weight.view(1, 8, 8, 8)
    return end(s, y + F.interpolate(table, size=y.shape[2:], mode="bilinear"))


def one_token_more(s, x):
    y = F.relu(s.a(x))
    y = torch.cat([y, s.table.weight[None].expand(len(x), -1, -1)], 1)
    return end(s, y[:, 8]), end(s, y)


def channels_cut(s, x):
    return end(s, s.a(x)).sum(1), s.d(x)[:, : x.shape[-1]].sum(1)


WIDE = {"d": lambda: nn.Conv2d(8, 8, 1)}


def shuffled(s, x):
    y = F.relu(s.a(x))
    groups = 2 if x.shape[-1] <= 32 else 4
    y = y.view(len(x), groups, -1, *x.shape[2:]).transpose(1, 2).flatten(1, 2)
    return end(s, y)


# Name: forward, layers, inputs of a size, sizes that are refused, filters left of a, b
# where dead ones are zero, and where they are another constant.
ATTACKS = {
    "pad to even": (pad_to_even, convs(), images, (), (4, 4), (8, 4)),
    "pad if odd": (pad_if_odd, convs(), images, (), (4, 4), (8, 4)),
    "pad a sound to steps": (
        pad_sound, convs(nn.Conv1d), sounds, (), (4, 4), (8, 4)),
    "pad a volume": (pad_volume, convs(nn.Conv3d), volumes, (), (4, 4), (8, 4)),
    "pad to one size": (
        pad_to_one_size, convs(nn.Conv1d), sounds, (), (4, 4), (8, 4)),
    "over the root of the length": (over_root, linears(), tokens, (), (4, 4), (8, 4)),
    "over the root by math": (over_math_root, linears(), tokens, (), (4, 4), (8, 4)),
    "times how much more": (times_more, linears(), tokens, (), (4, 4), (8, 4)),
    "u-net that pads": (
        u_net, convs(d=lambda: nn.Conv2d(16, 8, 1)), images, (), (4, 4), (8, 4)),
    "far branch": (far_branch, convs(**WIDE), images, (40,), (4, 4), (4, 4)),
    "near branch": (near_branch, convs(**WIDE), images, (), (8, 4), (8, 4)),
    "one of two weights": (
        one_of_two_weights, convs(d=lambda: nn.Conv2d(8, 8, 1, bias=False),
                                  e=lambda: nn.Conv2d(8, 8, 1, bias=False)),
        images, (), (4, 4), (8, 4)),
    "one of two tensors": (
        one_of_two_tensors, convs(d=lambda: nn.Conv2d(3, 8, 1)), images, (), (8, 4),
        (8, 4)),
    "again and again": (
        again_and_again, convs(**WIDE), images, (40,), (8, 4), (8, 4)),
    "pool to half": (pool_to_half, convs(), images, (), (4, 4), (4, 4)),
    "table cut": (
        table_cut, linears(table=lambda: nn.Linear(64, 1)), tokens, (), (4, 4), (8, 4)),
    "table added": (
        table_added, linears(table=lambda: nn.Linear(64, 1)), tokens, (), (8, 4),
        (8, 4)),
    "table resized": (
        table_resized, convs(table=lambda: nn.Linear(512, 1)), images, (), (8, 4),
        (8, 4)),
    "one token more": (
        one_token_more, linears(table=lambda: nn.Linear(8, 1)), tokens, (), (8, 4),
        (8, 8)),
    "shuffled": (shuffled, convs(), images, (40,), (4, 4), (4, 4)),
    "channels cut": (
        channels_cut, convs(d=lambda: nn.Conv2d(3, 8, 1)), images, (), (4, 4), (4, 4)),
}  # fmt: skip
SIZES = (8, 7, 9, 10, 11, 13, 16, 24, 40)


@pytest.mark.parametrize("bias", [0.0, 1.0])
@pytest.mark.parametrize("name", ATTACKS)
def test_equal_at_any_size_or_refused(name, bias, monkeypatch):
    share(monkeypatch, name)
    function, layers, given, refused, *left = ATTACKS[name]
    dense = filled(Net(function, **layers()), bias)
    if hasattr(dense, "table"):  # the first columns are those of the example's size
        dense.table.weight.data[:, :8] = 1.0
    if function is shuffled:  # with those that stand beside them
        dense.a.weight.data[4:6], dense.a.bias.data[4:6] = 0.0, bias
    smaller = prune(dense, (given(8),)).model
    assert (len(smaller.a.weight), len(smaller.b.weight)) == left[bias == 1.0]
    for size in SIZES:
        if size in refused:
            with pytest.raises(GraphError, match=REFUSED):
                smaller(given(size))
        elif outputs(dense, given(size)) is not None:
            assert apart(dense, smaller, given(size)) < 1e-5, size
