"""Inputs that a network is recorded to take are tried."""

import pytest
import torch
from torch import nn

from lilnetx_cli.errors import UsageError
from lilnetx_cli.models.inputs import check_form


class Square(nn.Module):
    """A network that asserts its size, as those of timm do."""

    def forward(self, images):
        assert images.shape[-1] == 8, "expected a width of 8"
        return images.flatten(1)


def test_inputs_that_a_network_takes():
    check_form(Square(), {"input": "1x8x8"})
    check_form(nn.Embedding(5, 2), {"input": "3:int64"})


@pytest.mark.parametrize("network", [Square(), nn.Linear(8, 2).double(), nn.GRU(8, 2)])
def test_inputs_that_it_does_not_take(network):
    form = "1x8x9" if isinstance(network, (Square, nn.GRU)) else "8"
    with pytest.raises(UsageError, match="does not take inputs of shape"):
        check_form(network, {"input": form})


def test_nothing_is_learned_from_trying():
    network = nn.Linear(8, 2)
    check_form(network, {"input": "8"})
    assert network.weight.grad is None
    assert torch.is_grad_enabled()
