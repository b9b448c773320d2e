"""Networks that are hard to cut: joined, parted, reused, told sizes, of other kinds."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lilnetx_cli.graph import GraphError
from lilnetx_cli.models import build
from lilnetx_cli.nn.constant import Constant
from lilnetx_cli.pruning import prune
from tests.pruning.deadening import difference, kill_filters, lived_in, parameters
from tests.pruning.traces import share


def conv(inputs, outputs, kernel=3, **options):
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **options)


class Net(nn.Module):
    """A stem, a middle, and a head that sees 8 channels of 8 x 8."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = conv(3, 8, bias=False), nn.BatchNorm2d(8)
        self.build()
        self.last = conv(8, 12)
        self.head = nn.Linear(12, 5)

    def build(self):
        pass

    def middle(self, x):
        return x

    def forward(self, x):
        x = self.middle(F.relu(self.norm(self.stem(x))))
        return self.head(F.relu(self.last(x)).mean((2, 3)))


class Concat(Net):
    def build(self):
        self.one, self.two = conv(8, 3), conv(8, 5, 1)

    def middle(self, x):
        return torch.cat([self.two(x), F.relu(self.one(x))], dim=1)


class SplitInHalves(Net):
    def build(self):
        self.one = conv(4, 4)

    def middle(self, x):
        left, right = x.chunk(2, dim=1)
        return torch.cat([left, torch.tanh(self.one(right))], 1)


class SplitAtSizes(Net):
    def build(self):
        self.one, self.two = conv(6, 6), conv(2, 2)

    def middle(self, x):
        left, right = torch.split(x, [6, 2], dim=1)
        return torch.cat([self.one(left), self.two(right)], 1)


class SplitBySize(Net):
    """`split(4)` says the size, where `chunk(2)` says the number of parts."""

    def build(self):
        self.one = conv(4, 4)

    def middle(self, x):
        left, right = x.split(4, dim=1)
        return torch.cat([left, self.one(right)], 1)


class Sliced(Net):
    def build(self):
        self.one = conv(4, 8)

    def middle(self, x):
        return self.one(x[:, 2:6])


class Shared(Net):
    """One layer at two places."""

    def build(self):
        self.twice = nn.Sequential(conv(8, 8), nn.BatchNorm2d(8), nn.ReLU())

    def middle(self, x):
        return self.twice(F.relu(self.twice(x)))


class TiedWeights(Net):
    """Two layers with one weight, and biases of their own."""

    def build(self):
        self.one, self.two = conv(8, 8), conv(8, 8)
        self.two.weight = self.one.weight

    def middle(self, x):
        return self.two(F.relu(self.one(x)))


class HardCodedView(Net):
    """The numbers of the first view are the code's own."""

    def build(self):
        self.inner = conv(8, 8)
        self.mix = nn.Linear(8 * 64, 8 * 64)

    def middle(self, x):
        flat = self.inner(x).view(x.size(0), 8 * 64)
        return self.mix(flat).view(-1, 8, 8, 8)


class DerivedView(Net):
    def build(self):
        self.inner = conv(8, 8)
        self.mix = nn.Linear(8 * 64, 8)

    def middle(self, x):
        flat = torch.flatten(self.inner(x), 1)
        return x + self.mix(flat)[:, :, None, None]


class Shuffled(Net):
    def middle(self, x):
        b, c, h, w = x.shape
        x = x.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous()
        return x.view(b, -1, h, w)


class Grouped(Net):
    def build(self):
        self.wide = conv(8, 12, groups=4)
        self.deep = conv(12, 24, groups=12)
        self.back = conv(24, 8, 1)

    def middle(self, x):
        return self.back(F.relu(self.deep(F.relu(self.wide(x)))))


class Excited(Net):
    def build(self):
        self.down, self.up = nn.Linear(8, 4), nn.Linear(4, 8)

    def middle(self, x):
        gate = self.up(F.relu(self.down(x.mean((2, 3)))))
        return x * torch.sigmoid(gate)[:, :, None, None]


class Residual(Net):
    def build(self):
        self.one, self.two = conv(8, 10, bias=False), conv(10, 8, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(10), nn.BatchNorm2d(8)

    def middle(self, x):
        y = F.relu(self.norm1(self.one(x)), inplace=True)
        y = self.norm2(self.two(y))
        y += x
        return F.relu_(y)


class InPlaceOnASlice(Net):
    def middle(self, x):
        x = x.clone()
        x[:, :3].mul_(2)
        return x


class Padded(Net):
    """A shortcut that pads channels, as ResNets for small images have."""

    def build(self):
        self.narrow = conv(8, 4)

    def middle(self, x):
        return x + F.pad(self.narrow(x), (0, 0, 0, 0, 2, 2))


class Transposed(Net):
    def build(self):
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.down = nn.Conv2d(6, 8, 2, stride=2)

    def middle(self, x):
        return self.down(F.leaky_relu(self.up(x)))


class Resampled(Net):
    def build(self):
        self.slope = nn.PReLU(8)
        self.one = conv(8, 8, bias=False)

    def middle(self, x):
        up = F.interpolate(self.slope(x), scale_factor=2, mode="bilinear")
        return F.avg_pool2d(self.one(F.max_pool2d(up, 3, 1, 1)), 2)


class RawParameters(Net):
    def build(self):
        self.scale = nn.Parameter(torch.randn(8, 1, 1))
        self.mixer = nn.Parameter(torch.randn(8, 8))

    def middle(self, x):
        return torch.einsum("oi,bihw->bohw", self.mixer, x * self.scale)


class Functional(Net):
    def build(self):
        self.weight = nn.Parameter(torch.randn(8, 8, 3, 3))

    def middle(self, x):
        return F.conv2d(x, self.weight, padding=1)


class Circular(Net):
    def build(self):
        self.around = conv(8, 8, padding_mode="circular")

    def middle(self, x):
        return self.around(x)


class Attentive(Net):
    def build(self):
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.wide, self.narrow = nn.Linear(8, 32), nn.Linear(32, 8)
        self.norm2 = nn.LayerNorm(8)

    def middle(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(tokens, tokens, tokens)[0]
        tokens = tokens + self.narrow(F.gelu(self.wide(self.norm2(tokens))))
        return tokens.transpose(1, 2).reshape(x.shape)


class Recurrent(Net):
    def build(self):
        self.rnn = nn.GRU(8, 8, batch_first=True)

    def middle(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return self.rnn(tokens)[0].transpose(1, 2).reshape(x.shape)


class Gated(Net):
    """Channels times a function of others, and a softmax over them."""

    def build(self):
        self.one = conv(8, 16)

    def middle(self, x):
        return F.glu(self.one(x), dim=1) * F.softmax(x, dim=1)


class Grouping(Net):
    def build(self):
        self.groups = nn.GroupNorm(2, 8)
        self.single = nn.InstanceNorm2d(8, affine=True)

    def middle(self, x):
        return self.single(self.groups(x))


HARD = [
    Concat, SplitInHalves, SplitAtSizes, SplitBySize, Sliced, Shared, TiedWeights,
    HardCodedView, DerivedView, Shuffled, Grouped, Excited, Residual, InPlaceOnASlice,
    Padded, Transposed, Resampled, RawParameters, Functional, Circular, Attentive,
    Recurrent, Gated, Grouping,
]  # fmt: skip


def images(size=8, channels=3, batch=2):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(batch, channels, size, size, generator=generator)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("kind", HARD)
def test_hard_networks(kind, gated, seed, monkeypatch):
    share(monkeypatch, kind)
    torch.manual_seed(seed)
    dense = kill_filters(lived_in(kind()), 0.5, gated=gated, seed=seed)
    before = [p.clone() for p in dense.parameters()]
    pruned = prune(dense, (images(),))
    assert difference(dense, pruned.model, images()) < 1e-5
    assert difference(dense, pruned.model, images(batch=3)) < 1e-5
    assert parameters(pruned.model) < parameters(dense)  # the last layers at least
    assert all(map(torch.equal, before, dense.parameters()))


@pytest.mark.parametrize("kind", HARD)
def test_channel_counts_of_multiples(kind):
    torch.manual_seed(0)
    dense = kill_filters(lived_in(kind()), 0.6, gated=True)
    pruned = prune(dense, (images(),), multiple=4)
    assert difference(dense, pruned.model, images()) < 1e-5
    assert len(pruned.model.last.weight) in (4, 8, 12)


def test_hard_coded_numbers_are_named_and_their_channels_stay():
    dense = kill_filters(lived_in(HardCodedView()), 0.5, gated=True)
    pruned = prune(dense, (images(),))
    assert {kept.reason for kept in pruned.held} == {"hard-coded size in view"}
    assert [kept.layer for kept in pruned.held] == ["inner", "mix"]
    assert len(pruned.model.inner.weight) == 8
    assert len(pruned.model.last.weight) < 12


def test_tied_weights_stay_one():
    dense = kill_filters(lived_in(TiedWeights()), 0.6)
    smaller = prune(dense, (images(),)).model
    assert smaller.two.weight is smaller.one.weight


def test_dead_groups_leave_whole():
    dense = lived_in(Grouped())
    with torch.no_grad():
        for rows in (slice(3, 6), slice(9, 12)):  # two of four groups
            dense.wide.weight[rows] = 0
            dense.wide.bias[rows] = 0
        dense.deep.bias.zero_()
        for channels in (slice(2, 4), slice(6, 8)):  # and what they read
            dense.norm.weight[channels] = 0
            dense.norm.bias[channels] = 0
    smaller = prune(dense, (images(),)).model
    assert (smaller.wide.groups, smaller.wide.in_channels) == (2, 4)
    assert (smaller.deep.groups, len(smaller.deep.weight)) == (6, 12)


@torch.no_grad()
def test_a_dead_branch_goes_whole():
    dense = lived_in(Residual())
    dense.two.weight.zero_()
    dense.norm2.weight.zero_()
    dense.norm2.bias.zero_()
    smaller = prune(dense, (images(),)).model
    for layer in (smaller.one, smaller.two, smaller.norm2):
        assert isinstance(layer, Constant)
    gone = sum(parameters(m) for m in (dense.one, dense.two, dense.norm2))
    assert parameters(smaller) <= parameters(dense) - gone - 18  # norm1 keeps a channel


@torch.no_grad()
def test_constants_fold_where_nothing_pads():
    """A dead filter gives a constant: a 1x1 layer takes it, a padded one does not."""
    dense = lived_in(Concat())
    dense.stem.weight[:4] = 0
    dense.norm.bias[:4] = 3.0
    one, two = dense.one, dense.two
    assert prune(dense, (images(),)).model.stem.out_channels == 8  # `one` is padded
    one.weight[:, :4] = 0
    smaller = prune(dense, (images(),)).model
    assert smaller.stem.out_channels == 4
    assert not torch.equal(smaller.two.bias, two.bias)
    assert difference(dense, smaller, images()) < 1e-5


@torch.no_grad()
def test_channels_that_nothing_reads_leave_with_all_that_makes_them():
    dense = lived_in(Residual())
    dense.two.weight[:, 3:] = 0
    smaller = prune(dense, (images(),)).model
    assert smaller.one.out_channels == 3
    assert smaller.norm1.num_features == 3


def test_a_layer_without_a_bias_gets_one_where_a_constant_folds():
    network = nn.Sequential(
        nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8, bias=False), nn.Linear(8, 5)
    ).eval()
    with torch.no_grad():
        network[0].weight[:3] = 0
        network[0].bias[:3] = 1.0
    smaller = prune(network, (torch.randn(2, 3),)).model
    assert smaller[0].out_features == 5
    assert smaller[2].bias is not None
    assert difference(network, smaller, torch.randn(4, 3)) < 1e-5


def test_one_dimension_and_three():
    for layer, norm, shape in (
        (nn.Conv1d, nn.BatchNorm1d, (2, 3, 12)),
        (nn.Conv3d, nn.BatchNorm3d, (2, 3, 6, 6, 6)),
    ):
        network = nn.Sequential(
            layer(3, 8, 3), norm(8), nn.ReLU(), layer(8, 8, 3), nn.Flatten(),
            nn.LazyLinear(5),
        )  # fmt: skip
        network(torch.randn(shape))
        dense = kill_filters(lived_in(network), 0.5, gated=True)
        smaller = prune(dense, (torch.randn(shape),)).model
        assert difference(dense, smaller, torch.randn(shape)) < 1e-5
        assert parameters(smaller) < parameters(dense)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 8)
        self.inner, self.out = nn.Linear(8, 16), nn.Linear(16, 20)

    def forward(self, words):
        return {"scores": [self.out(F.relu(self.inner(self.table(words))))]}


@torch.no_grad()
def test_embeddings_and_outputs_in_containers():
    dense = Words().eval()
    dense.table.weight[:, :3] = 0
    dense.inner.weight[4:] = 0
    dense.inner.bias[4:] = -1
    words = torch.randint(20, (2, 7))
    smaller = prune(dense, (words,)).model
    assert smaller.table.weight.shape == (20, 5)
    assert smaller.inner.out_features == 4
    assert difference(dense, smaller, words) < 1e-5


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, x):
        return self.layer(x) if x.sum() > 0 else x


def test_what_cannot_be_traced_is_refused():
    with pytest.raises(GraphError, match="cannot be traced"):
        prune(Branching(), (torch.randn(2, 3),))


class Deceptive(Net):
    """Gives something else as soon as its layers are smaller."""

    def middle(self, x):
        return x if self.last.out_channels == 12 else 2 * x


def test_a_network_that_changes_is_refused_by_name():
    dense = kill_filters(lived_in(Deceptive()), 0.5, gated=True)
    with pytest.raises(GraphError, match=r"of the largest output, first at 'last'"):
        prune(dense, (images(),))


@torch.no_grad()
def test_shortcuts_that_pad_channels_of_our_networks_shrink():
    torch.manual_seed(0)
    dense = lived_in(build("resnet20", {"channels": 1, "classes": 10}))
    for block in dense.layer3:  # 10 channels that only padding makes, 2 of the middle
        for channels in (slice(4), slice(20, 22), slice(58, 64)):
            block.conv2.weight[channels] = 0
            block.bn2.weight[channels] = 0
            block.bn2.bias[channels] = 0
    images = torch.randn(2, 1, 28, 28)
    smaller = prune(dense, (images,)).model
    assert (smaller.layer3[0].pad.before, smaller.layer3[0].pad.after) == (12, 10)
    assert smaller.fc.in_features == 64 - 10
    assert difference(dense, smaller, images) < 1e-5
    assert dense.layer3[0].pad.before == 16


def test_nothing_dead_nothing_gone():
    dense = lived_in(Residual())
    pruned = prune(dense, (images(),))
    assert pruned.removed_channels == 0
    assert parameters(pruned.model) == parameters(dense)
    assert pruned.max_abs_difference == 0
