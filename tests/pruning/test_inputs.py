"""What goes in and comes out in other ways: alone, deeper, unread, rounded."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lilnetx_cli.graph import GraphError
from lilnetx_cli.nn.constant import Constant
from lilnetx_cli.pruning import prune
from tests.pruning.made import REFUSED, Net, apart, filled, made
from tests.pruning.traces import share


def chain(s, x):
    return s.c(F.relu(s.b(F.relu(s.a(x)))))


def three(kind, *more):
    return Net(chain, a=kind(3, 8, *more), b=kind(8, 8, *more), c=kind(8, 4, *more))


# Name: network, an example of what goes in, and another form that it takes, too.
FORMS = {
    "images": (lambda: three(nn.Conv2d, 3), (2, 3, 8, 8), (3, 8, 8)),
    "an image alone": (lambda: three(nn.Conv2d, 3), (3, 8, 8), (2, 3, 9, 9)),
    "sounds": (lambda: three(nn.Conv1d, 3), (2, 3, 8), (3, 8)),
    "a sound alone": (lambda: three(nn.Conv1d, 3), (3, 8), (2, 3, 9)),
    "volumes": (lambda: three(nn.Conv3d, 2), (2, 3, 6, 6, 6), (3, 6, 6, 6)),
    "a volume alone": (lambda: three(nn.Conv3d, 2), (3, 6, 6, 6), (2, 3, 7, 7, 7)),
    "upwards": (lambda: three(nn.ConvTranspose2d, 2), (3, 4, 4), (2, 3, 5, 5)),
    "tokens": (lambda: three(nn.Linear), (2, 5, 3), (2, 4, 5, 3)),
    "rows": (lambda: three(nn.Linear), (5, 3), (3,)),
    "images in steps": (lambda: three(nn.Conv2d, 1, 2), (2, 3, 8, 8), (3, 8, 8)),
    "pools": (
        lambda: Net(
            pools, a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(8, 8, 1), c=nn.Conv2d(8, 4, 1)
        ),
        (3, 9, 9),
        (2, 3, 8, 8),
    ),
}


def pools(s, x):
    y = F.max_pool2d(F.relu(s.a(x)), 2)
    return s.c(F.adaptive_avg_pool2d(F.relu(s.b(y)), 2))


@pytest.mark.parametrize("bias", [0.0, 1.0])
@pytest.mark.parametrize("name", FORMS)
def test_channels_leave_at_any_rank(name, bias, monkeypatch):
    share(monkeypatch, name)
    make, example, other = FORMS[name]
    dense = filled(make(), bias)
    smaller = prune(dense, (made(*example),)).model
    left = 8 if name == "upwards" and bias else 4  # a constant does not fold there
    assert (len(smaller.a.bias), len(smaller.b.bias)) == (left, left)
    for shape in (example, other):
        assert apart(dense, smaller, made(*shape)) < 1e-5


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
def test_a_constant_layer_takes_one_image_too(kind):
    """All of its filters are dead: only its bias is left."""
    dense = filled(three(kind, 1))
    with torch.no_grad():
        dense.b.weight.zero_()
    size = (8,) * len(dense.a.kernel_size)  # as many as channels
    smaller = prune(dense, (made(2, 3, *size),)).model
    assert isinstance(smaller.b, Constant)
    assert apart(dense, smaller, made(3, *size)) < 1e-5


def test_a_rank_at_which_they_differ_is_refused_when_it_comes():
    """The norm takes one sound for a batch of rows, if it is as long as wide."""
    layers = {"a": nn.Conv1d(3, 8, 1), "b": nn.BatchNorm1d(8), "c": nn.Conv1d(8, 4, 1)}
    dense = filled(Net(chain, **layers), 0.0)
    smaller = prune(dense, (made(2, 3, 8),)).model
    assert len(smaller.a.bias) == 4
    assert apart(dense, smaller, made(1, 3, 9)) < 1e-5
    assert dense(made(3, 8)).shape == (4, 8)
    with pytest.raises(GraphError, match=REFUSED):
        smaller(made(3, 8))


def aux(s, x):
    y = F.relu(s.a(x))
    s.aux(y)
    return s.c(F.relu(s.b(y)))


def aux_chain(s, x):
    y = F.relu(s.a(x))
    z = F.glu(s.aux(y), 1)
    F.conv2d(z, s.more)
    return s.c(F.relu(s.b(y)))


def aux_view(s, x):
    y = F.relu(s.a(x))
    y.view(len(x), 2, 4, -1).amax(1)
    return s.c(F.relu(s.b(y)))


UNREAD = {
    "a layer": (aux, {"aux": lambda: nn.Conv2d(8, 4, 1)}, 4),
    "an upward layer": (aux, {"aux": lambda: nn.ConvTranspose2d(8, 4, 1)}, 4),
    "layers and functions": (
        aux_chain, {"aux": lambda: nn.Conv2d(8, 4, 1),
                    "more": lambda: nn.Parameter(torch.ones(3, 2, 1, 1))}, 4),
    "a view": (aux_view, {}, 8),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
def test_what_nothing_reads_is_cut_or_left(name):
    function, more, left = UNREAD[name]
    layers = dict(three(nn.Conv2d, 1).named_children())
    dense = filled(Net(function, **layers, **{k: make() for k, make in more.items()}))
    smaller = prune(dense, (made(2, 3, 6, 6),)).model
    assert (len(smaller.a.bias), len(smaller.b.bias)) == (left, 4)
    assert apart(dense, smaller, made(3, 3, 7, 7)) < 1e-5


def large_less_large(s, x):
    """What is left of numbers that are 1e5 times as large: float32 has seven digits."""
    return chain(s, x) - s.large


def rounded_inside(s, x):
    return large_less_large(s, x.float())


@pytest.mark.parametrize("function", [large_less_large, rounded_inside])
def test_rounding_is_no_difference(function):
    layers = dict(three(nn.Linear).named_children())
    dense = filled(Net(function, **layers, large=nn.Parameter(torch.zeros(4))))
    with torch.no_grad():
        dense.b.bias[:4] = 1e5 + 0.3
        dense.large.copy_(dense(made(5, 3)).mean(0))
    narrow, wide = dense(made(5, 3)), copy.deepcopy(dense).double()
    if function is large_less_large:
        own = (narrow - wide(made(5, 3).double())).abs().max() / narrow.abs().max()
        assert own > 1e-3
    smaller = prune(dense, (made(5, 3),)).model
    assert len(smaller.b.bias) == 4
