"""The benchmark of compressors, with what is installed here."""

import csv

import numpy as np
import pytest
import torch

from tests.bench.compressors.__main__ import main
from tests.bench.compressors.sweeps import interpolate


@pytest.mark.slow
def test_compressors_write_a_table_and_a_plot(tmp_path, capsys):
    rng = np.random.default_rng(0)
    weight = torch.from_numpy(rng.laplace(size=(64, 48)).astype(np.float32))
    network = tmp_path / "made.pt"
    torch.save({"a.weight": weight, "a.bias": weight[0].clone()}, network)
    table, plot = tmp_path / "t.csv", tmp_path / "t.png"
    main([str(network), "--snr", "20", "--csv", str(table), "--plot", str(plot)])
    rows = {row["setting"]: row for row in csv.DictReader(table.open())}
    assert rows["lossless"]["snr"] == ""
    assert float(rows["20"]["snr"]) == pytest.approx(20, abs=0.1)
    assert int(rows["20"]["bytes"]) < 0.2 * weight.nbytes
    assert int(rows["20"]["peak"]) > 1e7
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "lilnetx --snr 20" in capsys.readouterr().out


def test_interpolation_between_the_nearest_points():
    points = [(20.0, 3.0), (10.0, 1.0), (12.0, 2.0)]
    assert interpolate(points, 11.0) == pytest.approx(1.5)
    assert interpolate(points, 21.0) is None
