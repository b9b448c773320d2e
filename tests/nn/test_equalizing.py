import copy

import pytest
import torch
from torch import nn

from lilnetx_cli.nn.equalizing import equalize_weights
from tests.nn.making import fill, filled, lively, numbers


class Branches(nn.Module):
    """The output of a convolution goes to a batch norm, and past it."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.first(x)
        return self.norm(y) + y


def chain():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 5),
    )  # fmt: skip


def rms(layer):
    return float(layer.weight.detach().square().mean().sqrt())


def settled(network, *shape):
    """Fill a network, widen its first layer, and let its norms measure images."""
    network = filled(network, *shape)
    with torch.no_grad():
        network[0].weight.mul_(5)
        network[0].bias.mul_(5)
    network.train()
    for seed in range(4):
        network(numbers(*shape, seed=seed))
    return network.eval()


def test_weights_before_norms_get_one_size_and_the_outputs_stay():
    network = settled(chain(), 8, 3, 8, 8)
    images = numbers(8, 3, 8, 8)
    before = network(images).detach()
    assert lively(before)
    free = rms(network[6])
    smallest = min(rms(network[i]) for i in (0, 3, 6))
    assert equalize_weights(network, lambda net: net(images)) == 2
    assert rms(network[0]) == pytest.approx(smallest, rel=1e-4)
    assert rms(network[3]) == pytest.approx(smallest, rel=1e-4)
    assert rms(network[6]) == free  # no norm takes its factor away
    torch.testing.assert_close(network(images), before, rtol=0.01, atol=0.01)


def test_what_would_change_the_outputs_is_undone():
    network = fill(Branches()).eval()
    network.second = nn.Conv2d(4, 4, 3)  # a tighter one of the group
    with torch.no_grad():
        network.second.weight.mul_(0.01)
    kept = copy.deepcopy(network.state_dict())
    images = numbers(2, 3, 6, 6)
    assert equalize_weights(network, lambda net: net(images)) == 0
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, kept[name])


def test_outputs_that_are_no_tensor_leave_all():
    network = settled(chain(), 8, 3, 8, 8)
    kept = copy.deepcopy(network.state_dict())

    def run(net):
        net(numbers(8, 3, 8, 8))

    assert equalize_weights(network, run) == 0
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, kept[name])
