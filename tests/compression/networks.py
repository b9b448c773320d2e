"""Networks that are fitted to data in closed form, so that nothing is drawn."""

import torch
from torch import nn

from lilnetx_cli.data import load_splits
from tests.nn.making import fill, filled, numbers


class Small(nn.Module):
    """Convolutions of all kinds, batch norms, a residual sum."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 12, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(12)
        self.deep = nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False)
        self.deep_norm = nn.BatchNorm2d(12)
        self.point = nn.Conv2d(12, 12, 1)
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = x + self.deep_norm(self.deep(x)).relu()
        return self.head(self.point(x).relu().mean((2, 3)))


class Words(nn.Module):
    """An embedding, recurrence and attention, and a weight that nothing uses."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 16)
        self.place = nn.Parameter(torch.empty(9, 16))
        self.unused = nn.Linear(16, 16)
        self.lstm = nn.LSTM(16, 16, batch_first=True)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 7)

    def forward(self, tokens):
        x, _ = self.lstm(self.embed(tokens) + self.place)
        return self.head(self.block(x).mean(1))


def small():
    """Return the network of convolutions, and inputs for it."""
    inputs = numbers(64, 2, 8, 8, seed=5)
    network = filled(Small(), 64, 2, 8, 8, seed=3).eval()
    with torch.no_grad():  # logits of different sizes, as those of trained networks
        network.head.weight.copy_(numbers(10, 12, seed=8))
    return network, inputs


def words_network():
    """Return the network of tokens; it has seen nothing."""
    return fill(Words(), seed=4).eval()


class Digits(nn.Module):
    """Features of fixed numbers and a layer that is fitted: 94 % of the digits."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(64, 120)
        self.norm = nn.BatchNorm1d(120)
        self.out = nn.Linear(120, 10)

    def features(self, images):
        return self.norm(self.mix(images.flatten(1))).relu()

    def forward(self, images):
        return self.out(self.features(images))


@torch.no_grad()
def digits():
    """Return a network that reads digits; the last layer is a ridge regression."""
    splits = load_splits("digits", None)
    images, labels = splits.calibration.__getitems__(
        list(range(len(splits.calibration)))
    )
    network = Digits()
    network.mix.weight.copy_(numbers(120, 64, seed=1) / 8)
    network.mix.bias.zero_()
    network.norm.train()
    network.norm.momentum = None
    network.features(images)
    network.norm.momentum = 0.1
    network.eval()
    features = network.features(images).double()
    wanted = nn.functional.one_hot(labels, 10).double() - 0.1
    ridge = features.T @ features + 1.0 * torch.eye(120).double()
    network.out.weight.copy_(torch.linalg.solve(ridge, features.T @ wanted).T * 8)
    network.out.bias.fill_(0.1)
    return network


class Wide(nn.Module):
    """A bias and a batch norm so long that alone they would be quantized."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(8, 4608)
        self.norm = nn.BatchNorm1d(4608)
        self.head = nn.Linear(48, 5)

    def forward(self, x):
        x = self.norm(self.mix(x)).relu()
        return self.head(x.unflatten(1, (48, 96)).mean(2))
