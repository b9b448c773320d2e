"""Dead channels that stay are named: by layer, with their number and the reason."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lilnetx_cli.graph.tracing import GraphError
from lilnetx_cli.pruning import Kept, kept_lines, prune
from tests.pruning.made import Net
from tests.pruning.test_rules import filled, numbers


@torch.no_grad()
def dead(layer, count, *, bias=0.0):
    layer.weight[:count] = 0
    if layer.bias is not None:
        layer.bias[:count] = bias
    return layer


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs)


def conv(inputs, outputs, **options):
    return nn.Conv2d(inputs, outputs, 3, **options)


def attention(s, x):
    return s.b(s.mix(s.a(x), s.a(x), s.a(x))[0])


def told(s, x):
    return s.b(s.a(x).view(-1, 4, 2).flatten(1))


class Own(nn.Linear):
    """May compute something else, so it never becomes a constant."""


# The function, its layers, what `a` has dead and what it gives there; what stays.
STAY = {
    "an output": (
        lambda s, x: s.a(x), {"a": linear(6, 8)}, 3, 0.0,
        ("a", 3, "output of the network")),
    "added to an input": (
        lambda s, x: s.b(x + s.a(x)), {"a": linear(6, 6), "b": linear(6, 3)}, 2, 0.0,
        ("a", 2, "joined with an input of the network")),
    "added to others": (
        lambda s, x: s.b(s.a(x) + s.c(x)),
        {"a": linear(6, 8), "b": linear(8, 3), "c": linear(6, 8)}, 2, 0.0,
        ("a", 2, "coupled with channels in use", "c")),
    "a constant, and padding": (
        lambda s, x: s.b(F.relu(s.a(x))),
        {"a": conv(3, 8), "b": conv(8, 3, padding=1)}, 3, 1.0,
        ("a", 3, "constant that a padded convolution sees")),
    "a constant, and padding by channel": (
        lambda s, x: s.b(s.c(s.a(x))),
        {"a": conv(3, 8), "b": conv(8, 3), "c": conv(8, 8, padding=1, groups=8)},
        3, 1.0, ("a", 3, "constant that a padded convolution sees")),
    "a constant, read twice": (
        lambda s, x: s.b(s.a(x)) + s.b(s.c(x)),
        {"a": linear(6, 8), "b": linear(8, 3), "c": linear(6, 8)}, 3, 1.0,
        ("a", 3, "constant that a layer used twice sees")),
    "a constant that changes": (
        lambda s, x: s.b(s.a(x).cumsum(0)),
        {"a": linear(6, 8), "b": linear(8, 3)}, 3, 1.0,
        ("a", 3, "not constant after cumsum")),
    "attention heads": (
        attention, {"a": linear(6, 8), "b": linear(8, 3),
                    "mix": nn.MultiheadAttention(8, 2, batch_first=True)},
        2, 0.0, ("a", 2, "attention heads")),
    "a recurrent layer": (
        lambda s, x: s.b(s.mix(s.a(x))[0]),
        {"a": linear(6, 8), "b": linear(4, 3), "mix": nn.GRU(8, 4, batch_first=True)},
        2, 0.0, ("a", 2, "no rule for gru")),
    "a size in the code": (
        told, {"a": linear(6, 8), "b": linear(8, 3)}, 2, 0.0,
        ("a", 2, "hard-coded size in view")),
    "no rule": (
        lambda s, x: s.b(s.a(x).tril()), {"a": linear(6, 8), "b": linear(8, 3)},
        2, 0.0, ("a", 2, "no rule for tril")),
    "all but one": (
        lambda s, x: s.b(s.a(x)), {"a": Own(6, 8), "b": linear(8, 3)}, 8, 0.0,
        ("a", 1, "a layer keeps one channel")),
    "the only one": (
        lambda s, x: s.b(s.a(x)), {"a": Own(6, 1), "b": linear(1, 3)}, 1, 0.0,
        ("a", 1, "the only channel of a layer")),
    "halves": (
        lambda s, x: s.b(torch.cat([y.tanh() for y in s.a(x).chunk(2, 1)], 1)),
        {"a": linear(6, 8), "b": linear(8, 3)}, 3, 0.0,
        ("a", 3, "equal parts of a split")),
    "groups": (
        lambda s, x: s.b(s.a(x)),
        {"a": conv(3, 8), "b": conv(8, 4, groups=2)}, 3, 0.0,
        ("a", 3, "equal groups of a convolution")),
}  # fmt: skip
SHAPES = {"attention heads": (2, 5, 6), "a recurrent layer": (2, 5, 6)}


@pytest.mark.parametrize("name", STAY)
def test_what_stays_is_named(name):
    function, layers, count, bias, wanted = STAY[name]
    dense = filled(Net(function, **layers))
    dead(dense.a, count, bias=bias)
    image = isinstance(layers["a"], nn.Conv2d)
    example = numbers(*SHAPES.get(name, (2, 3, 8, 8) if image else (2, 6)))
    found = prune(dense, (example,))
    assert found.held == (Kept(*wanted),)


CODE = {  # what reads the channels of `a`, with a buffer `m`
    "a mask": (lambda s, y: y[:, s.m > 0], "no rule for index"),
    "places": (lambda s, y: y[:, s.m.nonzero()[:, 0]], "no rule for index"),
    "groups in the code": (
        lambda s, y: F.conv2d(y, s.k, groups=8),
        "hard-coded size in conv2d"),
}  # fmt: skip


def exports(network, example):
    """Tell whether this torch follows a network: older ones refuse sizes of data."""
    try:
        torch.export.export(network.eval(), (example,), strict=False)
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("name", CODE)
def test_channels_stay_where_code_picks_them_and_others_go(name):
    function, reason = CODE[name]
    layers = {"a": conv(3, 8), "b": conv(8, 4), "c": conv(4, 8), "d": conv(8, 3)}
    dense = Net(lambda s, x: s.d(s.c(s.b(function(s, s.a(x))))), **layers)
    dead(filled(dense).a, 3)
    dense.register_buffer("m", torch.ones(8))
    dense.register_buffer("k", torch.ones(8, 1, 3, 3).double())
    dead(dense.c, 4)
    example = numbers(2, 3, 14, 14)
    if not exports(dense, example):
        with pytest.raises(GraphError, match=r"cannot be traced by torch.export, at"):
            prune(dense, (example,))
        return
    found = prune(dense, (example,))
    assert found.model.c.out_channels == 4
    (kept,) = found.held
    assert (kept.layer, kept.channels) == ("a", 3)
    assert reason in kept.reason


def test_channels_that_only_fill_a_multiple():
    dense = filled(Net(lambda s, x: s.b(s.a(x)), a=linear(6, 8), b=linear(8, 3)))
    dead(dense.a, 6)
    found = prune(dense, (numbers(2, 6),), multiple=3)
    assert found.model.a.out_features == 3
    assert found.held == (Kept("a", 1, "rounding to a multiple of 3"),)


@pytest.mark.parametrize(
    ("held", "lines"),
    [
        ([], []),
        (
            [Kept("", 1, "no rule for gru")],
            [
                "1 channel is dead or constant, but kept:",
                "  1: no rule for gru (the network)",
            ],
        ),
        (
            [
                *(
                    Kept(f"l{n}", n, "coupled with channels in use", f"m{n}" * (n > 4))
                    for n in range(6)
                ),
                *(Kept("head", n, f"no rule for {n}") for n in (900, 4, 3, 2, 1)),
            ],
            [
                "925 channels are dead or constant, but kept:",
                "  900: no rule for 900 (head)",
                "  15: coupled with channels in use (l5 with m5, l4, l3,"
                " 3 more layers)",
                "  4: no rule for 4 (head)",
                "  3: no rule for 3 (head)",
                "  and 3 more",
            ],
        ),
    ],
)
def test_what_stays_in_few_lines(held, lines):
    assert kept_lines(held) == lines
