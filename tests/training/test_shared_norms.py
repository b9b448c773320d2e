"""Batch norms that hear all processes on GPUs, as far as one process on CPUs shows."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lilnetx_cli.nn import reparameterize
from lilnetx_cli.nn.gating import gate_dead_filters
from lilnetx_cli.training.devices import GROUP, apart_statistics, share_norms

IMAGES = torch.linspace(-1, 1, 4 * 49).view(4, 1, 7, 7)


def network():
    model = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.linspace(-1, 1, 36).view(4, 1, 3, 3))
    return model


def shared(model, count=2, device="cuda"):
    place = SimpleNamespace(num_processes=count, device=torch.device(device))
    share_norms(model, place)
    return model


def test_they_are_gated_and_compute_as_before():
    model = shared(reparameterize(network(), start="trained"))
    assert type(model[1]) is nn.BatchNorm2d
    assert gate_dead_filters(model, lambda net: net(IMAGES)) == 1
    plain, synced = network(), shared(network())
    for mode in (True, False):
        outputs = [net.train(mode)(IMAGES) for net in (plain, synced)]
        assert torch.equal(*outputs)
    assert torch.equal(plain[1].running_var, synced[1].running_var)


def test_a_copy_is_on_its_own():
    model = shared(network())
    other = copy.deepcopy(model)
    other.train()(IMAGES)
    assert int(other[1].num_batches_tracked) == 1
    assert int(model[1].num_batches_tracked) == 0


@pytest.mark.parametrize(
    ("count", "device", "apart"), [(2, "cuda", 0), (2, "cpu", 2), (1, "cuda", 2)]
)
def test_statistics_are_averaged_where_norms_hear_one_process(count, device, apart):
    model = shared(network(), count, device)
    assert hasattr(model[1], GROUP) == (apart == 0)
    assert len(apart_statistics(model)) == apart
