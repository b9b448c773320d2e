"""`train --sweep`: several sizes, what to compare them with, a table and a picture."""

import csv
import json
import signal
import sys

import pytest
import torch

import lilnetx_cli as lilnetx
from lilnetx_cli.checkpoint import load_checkpoint
from lilnetx_cli.cli import progress, sweep_tasks
from lilnetx_cli.compression.int8 import load_int8
from lilnetx_cli.data import load_splits
from lilnetx_cli.measure import measure_accuracy
from lilnetx_cli.measure.macs import count_macs
from lilnetx_cli.models import build

# Small enough for all files of a sweep to take seconds.
NET = """
from torch import nn


def make(channels, classes):
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes),
    )
"""
FILES = [
    "dense/model.pt",
    *(f"compress/{snr}dB.lnx" for snr in (40, 30, 25, 20)),
    *(f"calib/{snr}dB.lnx" for snr in (25, 20, 15)),
    "int8/model.safetensors.zst",
]


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(NET)
    yield f"{path}:make"
    sys.modules.pop("net", None)


@pytest.fixture
def sweep(here, net):
    """Run a short sweep; options come last and may say otherwise."""

    def start(folder, *options, count=2):
        return here(
            "train", "--sweep", count, "-o", folder, "--model", net,
            "--dataset", "digits", "-b", 64, "--max-steps", 4, "--device", "cpu",
            "--set", "train.calibration_images=64", *options,
        )  # fmt: skip

    return start


@pytest.fixture
def runs(monkeypatch):
    """What was trained, from where; Ctrl-C comes in the run whose number is set."""
    kept = progress.run_training
    found = {"folders": [], "resumed": [], "interrupted": None}

    def run(config, splits, folder, *, observer, should_stop, resume):
        found["folders"].append(folder.name)
        found["resumed"].append(resume is not None)
        if len(found["folders"]) - 1 == found["interrupted"]:
            signal.raise_signal(signal.SIGINT)
        return kept(
            config, splits, folder,
            observer=observer, should_stop=should_stop, resume=resume,
        )  # fmt: skip

    monkeypatch.setattr(progress, "run_training", run)
    return found


def rows_of(folder):
    with (folder / "front.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def loaded(path, record):
    """Return the network of a file of a sweep."""
    network = build(record["name"], record["args"])
    if path.suffix == ".lnx":
        return lilnetx.load_model(path, model=network)
    state = (
        load_checkpoint(path).state_dict if path.suffix == ".pt" else load_int8(path)
    )
    network.load_state_dict(state)
    return network.eval()


@pytest.mark.slow
def test_a_stopped_sweep_goes_on(sweep, here, runs, tmp_path, monkeypatch):
    folder = tmp_path / "front"
    runs["interrupted"] = 1
    done = sweep(folder, "--target-size", "6kB", "-q")
    assert done.code == 130
    assert f"train --sweep 2 -o {folder} --resume\n" in done.err
    assert [row["file"] for row in rows_of(folder)] == ["6kB/model.lnx"]
    assert not (folder / "3kB" / "model.pt").exists()
    refused = sweep(folder)
    assert refused.code == 2
    assert "holds a sweep (sweep.toml): use --resume" in refused.message
    other = here("train", "--sweep", 2, "-o", folder, "--resume", "--seed", 5)
    assert other.code == 2
    assert "keeps its own settings" in other.message

    done = here("train", "--sweep", 2, "-o", folder, "--resume", "--json")
    assert done.code == 0, done.err
    assert runs["folders"] == ["6kB", "3kB", "3kB", "dense"]
    assert runs["resumed"] == [False, False, True, False]
    rows = rows_of(folder)
    assert [row["file"] for row in rows] == ["6kB/model.lnx", "3kB/model.lnx", *FILES]
    record = load_checkpoint(folder / "dense" / "model.pt").architecture
    splits = load_splits("digits", None)
    for row in rows:
        path = folder / row["file"]
        assert int(row["bytes"]) == path.stat().st_size
        network = loaded(path, record)
        for column, images in (
            ("accuracy", splits.test),
            ("validation_accuracy", splits.validation),
        ):
            measured = measure_accuracy(network, images).accuracy
            assert float(row[column]) == pytest.approx(measured, abs=1e-6)
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")
    told = done.json
    assert told["csv"] == str(folder / "front.csv")
    assert told["png"] == str(folder / "front.png")
    assert [str(folder / row["file"]) for row in rows] == [
        point["file"] for point in told["points"]
    ]
    assert [row["method"] for row in rows] == [x["method"] for x in told["points"]]

    # What is done is not done again, but for what was lost.
    (folder / "int8" / "model.safetensors.zst").unlink()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep_tasks, "save_int8", interrupted)
    done = here("train", "--sweep", 2, "-o", folder, "--resume", "-q")
    assert done.code == 130
    assert f"train --sweep 2 -o {folder} --resume" in done.message
    assert len(rows_of(folder)) == len(rows) - 1
    made = []
    monkeypatch.setattr(
        sweep_tasks, "save_int8", lambda _, path: made.append(path) or path.touch()
    )
    monkeypatch.setattr(sweep_tasks, "load_int8", lambda _: network.state_dict())
    for name in ("save_to_snr", "save_to_output_snr"):
        monkeypatch.setattr(sweep_tasks, name, None)
    done = here("train", "--sweep", 2, "-o", folder, "--resume")
    assert done.code == 0, done.err
    assert len(made) == 1
    assert len(runs["folders"]) == 4
    assert "int8 + zstd -19" in done.out


def test_ctrl_c_after_the_last_step_of_a_run_counts(sweep, tmp_path, monkeypatch):
    kept = progress.run_training

    def run(*arguments, **options):
        result = kept(*arguments, **options)
        signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(progress, "run_training", run)
    folder = tmp_path / "front"
    done = sweep(folder, "--target-size", "6kB", "-q")
    assert done.code == 130
    assert (folder / "6kB" / "model.pt").exists()
    assert not (folder / "3kB").exists()


@pytest.mark.slow
def test_a_plain_start_is_the_network_to_compare_with(sweep, here, runs, net, tmp_path):
    plain = tmp_path / "plain"
    options = ("--model", net, "-b", 64, "--max-steps", 4, "--device", "cpu", "-q")
    assert here("train", "--plain", "-o", plain, *options).code == 0
    folder, start = tmp_path / "front", plain / "model.pt"
    # The second size is below what any file of this network takes.
    done = sweep(folder, "--target-size", "600B", "--init", start)
    assert done.code == 0, done.err
    assert "warning: 300B/model.lnx is skipped: a file of 300 bytes is" in done.err
    assert runs["folders"] == ["plain", "600B", "300B"]
    assert not (folder / "300B").exists()
    assert [row["file"] for row in rows_of(folder)] == ["600B/model.lnx", *FILES]
    own, given = (
        load_checkpoint(path).state_dict for path in (folder / "dense/model.pt", start)
    )
    for name, tensor in given.items():
        assert torch.equal(own[name], tensor), name
    # Overwritten, it starts from the beginning.
    again = sweep(folder, "--target-size", "600B", "--init", start, "-f", count=1)
    assert again.code == 0, again.err
    assert runs["folders"][3:] == ["600B"]
    assert [row["file"] for row in rows_of(folder)] == ["600B/model.lnx", *FILES]


@pytest.mark.parametrize("option", ["--init", "--teacher"])
def test_a_source_is_not_overwritten(sweep, runs, tmp_path, option):
    dense = tmp_path / "front" / "dense" / "model.pt"
    dense.parent.mkdir(parents=True)
    dense.touch()
    done = sweep(tmp_path / "front", option, dense, "-f")
    assert done.code == 2
    assert "dense/model.pt' would be overwritten" in done.message
    assert dense.exists()
    assert not runs["folders"]


@pytest.mark.slow
def test_shares_of_macs_fall_with_the_sizes(sweep, tmp_path):
    """Each is that share of the one before; MACs are those of the pruned network."""
    folder = tmp_path / "front"
    wish = ("--target-size", "6kB", "--target-macs", 0.6)
    done = sweep(folder, *wish, "--max-steps", 12, "--json")
    assert done.code == 0, done.err
    rows = rows_of(folder)
    dense = int(rows[2]["macs"])
    record = load_checkpoint(folder / "dense" / "model.pt").architecture
    for row, wanted in zip(rows[:2], (0.6, 0.36), strict=True):
        network = loaded(folder / row["file"], record)
        small = lilnetx.prune(network, (torch.zeros(2, 1, 8, 8),)).model
        macs = count_macs(small, torch.zeros(1, 1, 8, 8)).macs
        assert int(row["macs"]) == macs <= wanted * dense
    assert all(int(row["macs"]) == dense for row in rows[2:])
    assert [x["macs"] for x in done.json["points"]] == [int(x["macs"]) for x in rows]


def test_no_size_is_within_reach(sweep, runs, tmp_path):
    done = sweep(tmp_path / "front", "--target-size", "60B", "--json")
    assert done.code == 2
    assert "no size is within reach" in json.loads(done.out)["error"]["message"]
    assert done.err.count("is skipped") == 2
    assert "dense" not in runs["folders"]


def test_a_folder_that_holds_a_run_is_refused(sweep, tmp_path):
    (tmp_path / "6kB").mkdir()
    (tmp_path / "6kB" / "model.pt").touch()
    done = sweep(tmp_path, "--target-size", "6kB")
    assert done.code == 2
    assert "6kB' holds a run (model.pt)" in done.message
    assert not (tmp_path / "sweep.toml").exists()


def test_several_processes_are_refused(sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = sweep(tmp_path / "front")
    assert done.code == 2
    assert "--sweep runs in one process" in done.message


def test_a_damaged_table_is_told(here, sweep, runs, tmp_path):
    runs["interrupted"] = 0
    assert sweep(tmp_path / "front", "-q").code == 130
    (tmp_path / "front" / "front.csv").write_text("method,bytes\nx,1\n")
    done = here("train", "--sweep", 2, "-o", tmp_path / "front", "--resume")
    assert done.code == 3
    assert "is not a table of a sweep: expected the columns method," in done.message


def test_sizes_come_from_the_dense_network(sweep, tmp_path, runs):
    """Of a ratio, as one run has it."""
    folder = tmp_path / "front"
    runs["interrupted"] = 0
    dense = sum(t.nbytes for t in build_net(tmp_path).state_dict().values())
    assert sweep(folder, "--target-ratio", "4", "-q").code == 130
    stored = (folder / f"{dense // 4 / 1000:.3g}kB" / "config.toml").read_text()
    assert f"size = {dense // 4}\n" in stored
    assert "\nratio" not in stored


def build_net(folder):
    return build(f"{folder / 'net.py'}:make", {"channels": 1, "classes": 10})


def test_int8_is_off_by_half_a_step_at_most(tmp_path):
    from lilnetx_cli.compression.int8 import save_int8

    weight = torch.linspace(-3, 2, 24).reshape(4, 2, 3)
    state = {
        "a.weight": weight, "b.weight": torch.zeros(2, 2), "a.bias": weight[0, 0],
        "count": torch.tensor(3),
    }  # fmt: skip
    written = save_int8(state, tmp_path / "x.zst")
    assert (tmp_path / "x.zst").stat().st_size == written
    again = load_int8(tmp_path / "x.zst")
    assert again.keys() == state.keys()
    steps = weight.abs().amax((1, 2), keepdim=True) / 127
    assert bool(((again["a.weight"] - weight).abs() <= 0.501 * steps).all())
    assert not torch.equal(again["a.weight"], weight)
    for name in ("b.weight", "a.bias", "count"):
        assert torch.equal(again[name], state[name])


@pytest.mark.parametrize(
    ("size", "name"),
    [
        (20_000, "20kB"), (13_542, "13.5kB"), (6_771, "6.77kB"), (846, "846B"),
        (999_700, "1MB"), (999, "999B"), (1_500_000, "1.5MB"), (2 * 10**9, "2GB"),
    ],
)  # fmt: skip
def test_names_of_sizes(size, name):
    from lilnetx_cli.cli.sweep_sizes import size_name

    assert size_name(size) == name
