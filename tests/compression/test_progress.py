"""How far a search is: never backwards, and about right."""

import numpy as np
import pytest
from rich.progress import Progress

import lnx
from lilnetx_cli.cli.console import Ticker
from lilnetx_cli.compression import Target, compress_container, search
from lilnetx_cli.compression.tries import Tries
from lilnetx_cli.quantization.cells import Weight, lay_out


def network(*shapes):
    rng = np.random.default_rng(0)
    tensors = []
    for number, shape in enumerate(shapes):
        values = rng.laplace(size=shape).astype(np.float32)
        data = values.reshape(-1).view(np.uint8)
        tensors.append(lnx.Exact(f"{number}.weight", lnx.DType.F32, shape, data))
    return lnx.Container(tuple(tensors))


def reports_of(container, target):
    reports = []
    compress_container(
        container, target, progress=lambda done, total: reports.append((done, total))
    )
    return reports


@pytest.mark.parametrize(
    "target", [Target(snr=10), Target(snr=40), Target(size=4000), Target(size=9000)]
)
@pytest.mark.parametrize("most", [5_000, 2_000_000])
def test_a_search_never_goes_backwards(monkeypatch, target, most):
    """Also where a part of the weights is searched first."""
    monkeypatch.setattr(search, "SAMPLE_CELLS", most)
    reports = reports_of(network((64, 32, 3, 3), (20, 30)), target)
    done = [report[0] for report in reports]
    assert done == sorted(done)
    assert len(set(done)) > 2
    assert all(0 < now <= total for now, total in reports)


def test_a_try_is_told_in_parts(monkeypatch):
    monkeypatch.setattr("lilnetx_cli.quantization.trellis.BLOCK_CELLS", 4096)
    reports = reports_of(network((128, 128)), Target(snr=30))
    parts = [done for done, _ in reports if done < 1]
    assert len(parts) > 4
    np.testing.assert_allclose(np.diff(parts), parts[0], rtol=1e-6)


def test_expected_tries_shrink_as_the_search_gets_nearer():
    cells = lay_out([Weight("w", (64, 64, 1), np.ones((4096, 1), np.float32))])
    totals = []
    tries = Tries(lambda done, total: totals.append(total - done), cells)
    for distance in (10.0, 0.6, 0.05, 0.0):
        tries.expect(cells, distance, 0.015)
        tries.round(cells, 0.5)
    left = totals[1::2]  # at the end of each try
    assert left == sorted(left, reverse=True)
    assert 2 < left[0] < 5
    assert left[-1] == 0


def test_the_time_left_survives_another_total():
    clock = [0.0]
    bar = Progress(get_time=lambda: clock[0], disable=True)
    ticker = Ticker(bar, bar.add_task("tries", total=None, facts=""))
    for seconds, done, total in ((10, 1, 1), (20, 2, 4), (30, 3, 6)):
        clock[0] = seconds
        ticker.move(done, total=total)
    task = bar.tasks[0]
    assert task.total == 6
    assert task.time_remaining == pytest.approx(30, abs=1)
