import time

import pytest
import torch
from torch import nn

from lilnetx_cli.measure.latency import measure_latency, torch_runs, torch_threads
from lilnetx_cli.measure.macs import count_macs
from lilnetx_cli.measure.sparsity import channel_sparsity


def test_macs_of_one_image_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
        nn.Linear(8 * 36, 5),
    ).eval()  # fmt: skip
    work = count_macs(network, torch.zeros(7, 3, 6, 6))
    assert work.macs == 3 * 8 * 9 * 36 + 8 * 36 * 5
    assert work.uncounted == ("native_batch_norm", "relu")


def test_grouped_convolutions_and_attention_are_counted():
    grouped = nn.Conv2d(8, 8, 3, groups=4)
    assert count_macs(grouped, torch.zeros(2, 8, 5, 5)).macs == 8 * 2 * 9 * 9
    attention = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    work = count_macs(attention, torch.zeros(2, 10, 8))
    projections, products = 10 * (4 * 8 * 8 + 2 * 8 * 16), 2 * 10 * 10 * 8
    assert work.macs == projections + products


def test_latency_reports_order_statistics():
    naps = iter([0.0] * 3 + [0.001] * 1000)

    def nap():
        time.sleep(next(naps))

    fast, slow = measure_latency(
        [nap, lambda: time.sleep(0.01)], engine="torch", batch=1, threads=1, seconds=0.1
    )
    assert 1 <= fast.median <= fast.p95
    assert slow.median >= 10
    assert fast.runs == slow.runs >= 5


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with torch_threads(1):
        assert torch.get_num_threads() == 1
        measure_latency(
            torch_runs([nn.Linear(3, 3)], torch.zeros(1, 3)),
            engine="torch", batch=1, threads=1, seconds=0.01,
        )  # fmt: skip
    assert torch.get_num_threads() == before


def test_channel_sparsity_counts_rows_once():
    weight = torch.ones(4, 3, 3, 3)
    weight[1] = 0
    state = {"a": weight, "tied": weight, "norm": torch.zeros(4), "b": torch.ones(4, 2)}
    assert channel_sparsity(state) == pytest.approx(1 / 8)
    assert channel_sparsity({"norm": torch.zeros(4)}) is None
