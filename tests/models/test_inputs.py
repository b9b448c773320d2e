"""Inputs that a network is recorded to take are tried."""

import pytest
import torch
from torch import nn

from lilnetx_cli.errors import UsageError
from lilnetx_cli.models.inputs import check_form, parse_form, recorded_form


class Square(nn.Module):
    """A network that asserts its size, as those of timm do."""

    def forward(self, images):
        assert images.shape[-1] == 8, "expected a width of 8"
        return images.flatten(1)


def test_inputs_that_a_network_takes():
    check_form(Square(), parse_form("1x8x8"))
    check_form(nn.Embedding(5, 2), parse_form("3:int64"))


class Keyed(nn.Module):
    """A network that takes a dict."""

    def forward(self, images):
        return {}[images.shape[-1]]


@pytest.mark.parametrize("network", [Square(), nn.Linear(8, 2).double(), nn.GRU(8, 2)])
def test_inputs_that_it_does_not_take(network):
    form = "1x8x9" if isinstance(network, (Square, nn.GRU)) else "8"
    with pytest.raises(UsageError, match="does not take inputs of shape"):
        check_form(network, parse_form(form))


def test_an_error_that_is_a_key_says_what_it_is():
    with pytest.raises(UsageError, match=r"inputs of shape \(8,\): KeyError: 8"):
        check_form(Keyed(), parse_form("8"))


def test_files_record_no_huge_inputs():
    assert recorded_form("3x224x224") == parse_form("3x224x224")
    assert recorded_form("1x9000x9000") is None
    assert recorded_form("1x1x1x1x1x1x1") is None


def test_nothing_is_learned_from_trying():
    network = nn.Linear(8, 2)
    check_form(network, parse_form("8"))
    assert network.weight.grad is None
    assert torch.is_grad_enabled()
