"""What is said of one tensor."""

import numpy as np
import pytest
import torch

from lilnetx_cli.checkpoint.convert import TO_FILE
from lilnetx_cli.measure import tensor_stats
from lilnetx_cli.measure.tensor_stats import measure_tensor, zstd_bytes

NOISE = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 60)))


@pytest.mark.parametrize(
    ("tensor", "narrower"),
    [
        (NOISE, None),
        (NOISE.float(), None),
        (NOISE.float().double(), "F32"),
        (NOISE.bfloat16().float(), "BF16"),
        (NOISE.half().float(), "F16"),
        (NOISE.half().double(), "F16"),
        (NOISE.half(), None),
        ((NOISE * 20).round().half(), "I8"),
        (torch.arange(-128.0, 128), "I8"),
        (torch.arange(-129.0, 128), "BF16"),
        (torch.tensor([0.0, -0.0, 1.0]), "I8"),
        (torch.tensor([0.0, -0.0, 0.5]), "BF16"),
        (torch.tensor([0.5, torch.nan, torch.inf]), "BF16"),
        (torch.arange(200), "U8"),
        (torch.arange(-5, 5), "I8"),
        (torch.arange(300), "I16"),
        (torch.arange(2**33, 2**33 + 5), None),
        (torch.full((9,), 7), None),  # all equal
        (torch.zeros(0), None),
        (torch.tensor([True, False]), None),
    ],
)
def test_the_narrowest_type(tensor, narrower):
    assert measure_tensor(tensor).narrower == narrower


def test_a_number_that_does_not_fit_counts_wherever_it_is():
    tensor = torch.zeros(3 << 20)
    tensor[::2] = 1
    tensor[-2] = 0.1
    assert measure_tensor(tensor).narrower is None


def test_zeros_rows_and_columns():
    tensor = NOISE.reshape(5, 6, 100).clone()
    tensor[1] = tensor[3] = 0
    tensor[:, 2] = 0
    stats = measure_tensor(tensor)
    assert stats.zeros == 2 * 600 + 3 * 100
    assert (stats.zero_rows, stats.zero_columns) == (2, 1)
    assert not stats.constant
    assert measure_tensor(torch.zeros(4)).constant
    assert measure_tensor(torch.tensor(2.0)).zeros == 0


def test_zstd_of_a_part_stands_for_all(monkeypatch):
    data = np.random.default_rng(0).integers(0, 16, 1 << 18, np.uint8)
    whole = zstd_bytes(data)
    assert len(data) * 0.5 < whole < len(data) * 0.6
    monkeypatch.setattr(tensor_stats, "BLOCK", 1 << 12)
    monkeypatch.setattr(tensor_stats, "MOST_BLOCKS", 10)
    assert zstd_bytes(data) == pytest.approx(whole, rel=0.05)
    assert zstd_bytes(data[:0]) < 20


@pytest.mark.parametrize("dtype", list(TO_FILE), ids=str)
def test_every_type_that_files_hold(dtype):
    data = torch.zeros(4 * dtype.itemsize, dtype=torch.uint8)
    data[: 2 * dtype.itemsize] = 1
    stats = measure_tensor(data.view(dtype).reshape(2, 2))
    assert (stats.zeros, stats.zero_rows, stats.zero_columns) == (2, 1, 0)
    assert not stats.constant
