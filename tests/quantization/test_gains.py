"""Steps of tensors that are small beside the others."""

import numpy as np
import pytest
import torch

import lilnetx_cli as lilnetx
from lilnetx_cli.quantization.gains import gain_of
from tests.nn.making import numbers


def test_small_layers_beside_a_large_one_stay_close(tmp_path):
    """Such as those of a network that begins with an embedding of unit deviation."""
    state = {"embedding.weight": numbers(1000, 64)}
    state |= {f"{i}.weight": 0.05 * numbers(64, 64, seed=i) for i in range(4)}
    lilnetx.compress(state, tmp_path / "a.lnx", snr=40)
    found = lilnetx.load(tmp_path / "a.lnx")
    for name, weight in state.items():
        error = (found[name] - weight).square().sum()
        assert 10 * torch.log10(weight.square().sum() / error) > 28, name


@pytest.mark.parametrize("outlier", [1.0, 100.0, 4000.0])
def test_large_values_of_a_small_tensor_stay_within_what_a_file_holds(outlier):
    values = np.ones(10_000, np.float32) * 0.01
    values[0] *= outlier
    gain = gain_of(values, 0.01, 1.0)
    assert 10 <= gain <= 50
    assert gain * values[0] <= 500
