"""A rule says on purpose what it does not know; whatever else it raises is a bug."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lilnetx_cli.graph import read_channels, trace
from lilnetx_cli.graph.state import RULES, Unsupported


class Net(nn.Module):
    """What a function makes of what a layer gives, and of other layers."""

    def __init__(self, function):
        super().__init__()
        self.function, self.layer = function, nn.Conv2d(3, 4, 3)
        self.square, self.slope = nn.Conv2d(4, 4, 3), nn.PReLU()
        self.vector = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.function(self, self.layer(x))


def read(function):
    network = Net(function).eval()
    graph = read_channels(network, trace(network, (torch.ones(2, 3, 6, 6),)))
    return graph.roots[graph.axes["layer.weight", 0]].tolist()


def mean(_, y):
    return y.mean((2, 3))


@pytest.fixture
def rule_that_raises(monkeypatch):
    def replace(error):
        def broken(*_):
            raise error

        monkeypatch.setitem(RULES, "aten::mean", broken)

    return replace


@pytest.mark.parametrize("kind", [NameError, TypeError, KeyError, IndexError])
def test_a_bug_in_a_rule_is_loud(rule_that_raises, kind):
    rule_that_raises(kind("a typo"))
    with pytest.raises(kind, match="a typo"):
        read(mean)


def test_what_a_rule_does_not_know_keeps_its_channels(rule_that_raises):
    rule_that_raises(Unsupported())
    assert read(mean) == [0, 0, 0, 0]


ODD = {
    "memory as another type": lambda _, y: y.view(torch.int32),
    "none of the channels": lambda _, y: (y, y[:, 4:].mean(1)),
    "a vector as a weight": lambda s, y: F.linear(y.movedim(1, -1), s.vector),
    "a softmax of one number": lambda _, y: F.softmax(y.mean(), 0),
    "a layer that reads a weight": lambda s, y: (y, s.square(s.square.weight)),
    "a vector through slopes": lambda s, y: (y, s.slope(s.vector)),
}


@pytest.mark.parametrize("name", ODD)
def test_rules_know_what_they_do_not_know(name):
    assert read(ODD[name]) == [0, 0, 0, 0]
