"""What a person sees on a terminal of 80 columns, and what a pipe gets."""

import io
import json
import re
import struct
import sys

import numpy as np
import pytest
import torch

import lnx
from lilnetx_cli.__main__ import run
from lilnetx_cli.cli.console import Output, Ticker, change_text, size_text
from lilnetx_cli.cli.evaluated_text import table_of
from lilnetx_cli.cli.progress import Watcher
from lilnetx_cli.training import EpochReport, StepReport
from tests.cli.terminal import Terminal, screen

WIDTH = 80


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that runs a verb on a terminal; its code, lines and talk."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def verb(*arguments, folder):
        monkeypatch.chdir(folder)
        out, err = Terminal(), Terminal()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = run([str(argument) for argument in arguments])
        assert code == 0, err.getvalue()
        return screen(out.getvalue(), WIDTH), err.getvalue()

    return verb


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A folder with model.lnx: long names, norms, constants and a tied weight."""
    symbols = np.zeros((64 * 64, 9), np.int32)
    symbols[::3] = 1
    tensors = [lnx.Latent(f"layer{n}.0.downsample.conv.weight", (64, 64, 3, 3), symbols,
                          0) for n in range(3)]  # fmt: skip
    for n in range(4):
        norm = np.arange(256, dtype=np.uint8)
        tensors.append(lnx.Exact(f"layer{n}.0.bn.bias", lnx.DType.F32, (64,), norm))
        mean = np.zeros(256, np.uint8)
        tensors.append(lnx.Exact(f"layer{n}.0.bn.mean", lnx.DType.F32, (64,), mean))
    long = "transformer.encoder.layers.encoder_layer_11.self_attention.in_proj.weight"
    tensors.append(lnx.Alias(long, tensors[0].name))
    folder = tmp_path_factory.mktemp("network")
    record = {"name": "resnet20", "args": {"channels": 1, "classes": 10}}
    about = {"dataset": "digits", "accuracy": 0.986072, "validation_accuracy": 0.9931}
    decoder = np.eye(9, dtype=np.float32)
    container = lnx.Container(tuple(tensors), (decoder,), record, about)
    lnx.save(container, folder / "model.lnx")
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A folder with a file of 1,000 latent tensors."""
    symbols = np.zeros((4, 9), np.int32)
    symbols[1] = 1
    tensors = tuple(lnx.Latent(f"layers.{n}.conv.weight", (2, 2, 3, 3), symbols, 0)
                    for n in range(1000))  # fmt: skip
    folder = tmp_path_factory.mktemp("large")
    container = lnx.Container(tensors, (np.eye(9, dtype=np.float32),))
    lnx.save(container, folder / "model.lnx")
    return folder


def test_inspect_keeps_names_whole_and_groups_the_rest(terminal, network):
    lines, _ = terminal("inspect", "model.lnx", folder=network)
    names = [line.split()[0] for line in lines if "x3x3" in line]
    assert names == [f"layer{n}.0.downsample.conv.weight" for n in range(3)]
    text = "\n".join(lines)
    assert "bn.mean" not in text
    for group in ("4 norms, biases, buffers", "4 constants", "1 tied to others"):
        assert sum(line.startswith(group) for line in lines) == 1
    assert lines[-2].startswith("all 12 tensors")
    assert "66.7 %" in lines[-2]
    assert "  network: resnet20, channels 1, classes 10" in lines


def test_inspect_shows_every_tensor_where_asked(terminal, network):
    lines, _ = terminal("inspect", "model.lnx", "-v", folder=network)
    assert sum(".bn." in line for line in lines) == 8
    assert any(line.startswith("transformer.enc") and "..." in line for line in lines)
    lines, _ = terminal("inspect", "model.lnx", "--layer", "layer3", folder=network)
    assert sum(".bn." in line for line in lines) == 2


def test_inspect_to_a_pipe_shows_all_of_it(capsys, network):
    assert run(["inspect", str(network / "model.lnx")]) == 0
    found = capsys.readouterr()
    assert found.err == ""
    rows = [line.split() for line in found.out.splitlines()]
    header = next(row for row in rows if row[:1] == ["tensor"])
    assert header[1:] == ["shape", "kind", "bytes", "bits/weight", "zeros", "slices",
                          "rows", "columns", "coding"]  # fmt: skip
    kinds = [row[2] for row in rows[rows.index(header) + 1 :]]
    assert sorted(kinds) == ["alias"] + 4 * ["exact"] + 4 * ["fill"] + 3 * ["latent"]
    assert "transformer.encoder.layers.encoder_layer_11.self_attention" in found.out


def test_inspect_of_very_many_tensors_is_short(terminal, large):
    lines, _ = terminal("inspect", "model.lnx", folder=large)
    assert len(lines) < 130
    assert sum(line.startswith("... and 900 others") for line in lines) == 1


def test_a_picture_of_very_many_tensors_is_small(terminal, large, tmp_path):
    terminal("inspect", "model.lnx", "--plot", tmp_path / "p.png", folder=large)
    data = (tmp_path / "p.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert width <= 1300
    assert height <= 1500


@pytest.mark.slow
def test_the_demo_tells_of_the_same_zero_slices(terminal, monkeypatch, tmp_path):
    from lilnetx_cli.cli.commands import demo

    few = {"train.max_steps": 2, "train.calibration_images": 64, "train.epochs": 1}
    monkeypatch.setattr(demo, "SETTINGS", {**demo.SETTINGS, **few})
    lines, talk = terminal("demo", "-o", "demo", folder=tmp_path)
    tensors = lnx.load(tmp_path / "demo" / "model.lnx").tensors
    rows_of = [t.symbols for t in tensors if isinstance(t, lnx.Latent)]
    slices = [rows for rows in rows_of if rows.shape[1] > 1]
    zero = sum(int((~rows.any(axis=1)).sum()) for rows in slices)
    share = zero / sum(map(len, slices))
    assert any(f"{100 * share:.1f} % of the slices" in line for line in lines)
    assert "every prediction equal" in "\n".join(lines)
    shown = "\n".join(screen(talk, WIDTH))
    assert "1. train" in shown
    assert "━" not in shown
    (tmp_path / "demo" / "model.lnx").write_bytes(b"")
    terminal("demo", "-o", "demo", "-f", folder=tmp_path)
    assert lnx.load(tmp_path / "demo" / "model.lnx").tensors


def step_report(step, steps, share=None):
    return StepReport(
        epoch=12, step=step, steps=steps, loss=10.8125, accuracy=0.981,
        bits_per_weight=0.4, estimated_bytes=110_300, slice_sparsity=0.436,
        macs_share=share,
    )  # fmt: skip


def epoch_report(event, step, share=None):
    return EpochReport(
        event=event, epoch=12, step=step, loss=10.8125, task_loss=1.0,
        bits_per_weight=0.4, accuracy=0.981, validation_accuracy=0.972,
        estimated_bytes=111_400, slice_sparsity=0.436, macs_share=share, lr=0.1,
        seconds=1.0,
    )  # fmt: skip


def watch(monkeypatch, stream, steps):
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    out = Output()
    with out.progress("training", steps) as ticker:
        watcher = Watcher(out, ticker)
        watcher.on_note("12 weights of the head did not fit: they start at random")
        for epoch in range(3):
            watcher.on_step(step_report(steps // 3 * (epoch + 1), steps))
            ticker._bar.refresh()
            watcher.on_epoch(epoch_report("epoch", steps // 3 * (epoch + 1)))
        watcher.on_epoch(epoch_report("final", steps))
    return stream.getvalue()


@pytest.mark.parametrize("steps", [60, 112_590])
def test_the_bar_fits_and_leaves_nothing(monkeypatch, steps):
    text = watch(monkeypatch, Terminal(), steps)
    lines = screen(text, WIDTH)
    assert not any("━" in line for line in lines)
    assert len([line for line in lines if line]) == 1 + 1 + 3
    frames = [part for part in text.replace("\n", "\r").split("\r") if "━" in part]
    plain = [screen(frame, WIDTH)[0] for frame in frames]
    assert plain
    full = [line for line in plain if f"{steps // 3}/{steps}" in line]
    for part in ("left", "loss 10.812", "accuracy 98.1 %", "110.3 kB"):
        assert all(part in line for line in full)
    assert full


def test_epochs_are_lines_of_a_table(monkeypatch):
    lines = watch(monkeypatch, io.StringIO(), 60).splitlines()
    assert lines[0].startswith("12 weights")
    assert lines[1].split("  ")[-1] == "zero slices"
    assert lines[2:] == 3 * [
        "   12    10.812    98.1 %      97.2 %    111.4 kB       43.6 %"
    ]


def test_multiply_adds_are_a_column_where_channels_are_pressed(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    out = Output()
    with out.progress("starting") as ticker:
        Watcher(out, ticker).on_epoch(epoch_report("epoch", 1, share=0.498))
    titles, cells = stream.getvalue().splitlines()[-2:]
    assert titles.endswith("zero slices  MACs left")
    assert cells.endswith("43.6 %     49.8 %")


def test_multiply_adds_stand_beside_the_bar():
    class Ticker:
        def move(self, _, **told):
            self.told = told

    ticker = Ticker()
    watcher = Watcher(Output(), ticker)
    watcher.on_step(step_report(3, 60, share=0.498))
    assert ticker.told["facts"][-2:] == ["zero slices 43.6 %", "MACs left 49.8 %"]
    watcher.on_step(step_report(4, 60))
    assert ticker.told["facts"][-1] == "zero slices 43.6 %"


def test_compress_says_what_it_keeps(terminal, tmp_path):
    generator = np.random.default_rng(0)
    state = {
        "conv.weight": torch.from_numpy(generator.random((40, 30, 3, 3), np.float32)),
        "conv.bias": torch.from_numpy(generator.random(40, np.float32)),
    }
    torch.save(state, tmp_path / "plain.pt")
    lines, _ = terminal("compress", "plain.pt", "--lossless", folder=tmp_path)
    text = "\n".join(lines)
    assert "lossless: every bit is kept" in text
    assert "weights stored exactly 3" in text
    assert "side information 1" in text
    assert " B + overhead" in text
    assert "payload" not in text
    assert "lilnetx train --init" in text


def test_bytes_by_what_they_are_for_add_up(capsys, tmp_path):
    state = {"a": torch.arange(6000.0).reshape(60, 100), "b": torch.arange(60.0)}
    torch.save(state, tmp_path / "plain.pt")
    assert run(["compress", str(tmp_path / "plain.pt"), "--lossless", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    parts = ("payload", "exact_weight", "side", "overhead")
    sizes = [record[f"{part}_bytes"] for part in parts]
    assert sum(sizes) == record["output_bytes"]
    assert sizes[0] == 0
    assert sizes[1] > 50 * sizes[2] > 0
    assert run(["inspect", str(tmp_path / "plain.lnx"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [record[f"{part}_bytes"] for part in parts] == sizes


def test_models_are_listed_in_whole_words(terminal, tmp_path):
    lines, _ = terminal("models", folder=tmp_path)
    assert any(line.strip() == "the package" for line in lines)


def test_evaluate_shows_both_networks_beside_each_other(monkeypatch):
    times = [
        {"engine": engine, "batch": batch, "threads": 2, "median": 123.456, "p95": 1234}
        for engine in ("torch", "onnxruntime")
        for batch in (1, 32)
    ]
    record = {"accuracy": 0.9186, "parameters": 25_557_032, "macs": 4_089_184_256,
              "predictions": "a", "latencies_ms": times, "metric": None}  # fmt: skip
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setattr(sys, "stdout", Terminal())
    Output().table(*table_of({**record, "pruned": record}))
    lines = screen(sys.stdout.getvalue(), WIDTH)
    assert any(line.startswith("onnxruntime, batch 32  123 ms") for line in lines)


@pytest.mark.parametrize(
    ("size", "text"),
    [(999, "999 B"), (999.7, "1.0 kB"), (1000, "1.0 kB"), (999_960, "1.0 MB"),
     (1_500_000, "1.5 MB"), (999_960_000, "1.00 GB")],
)  # fmt: skip
def test_a_kilobyte_is_a_thousand_bytes(size, text):
    assert size_text(size) == text


@pytest.mark.parametrize("options", [("--snr", "20"), ("--lossless",)])
def test_compress_shows_a_bar_that_goes(terminal, tmp_path, monkeypatch, options):
    move = Ticker.move

    def shown(self, *arguments, **named):
        move(self, *arguments, **named)
        self._bar.refresh()  # which a clock does for longer work

    monkeypatch.setattr(Ticker, "move", shown)
    weights = np.random.default_rng(0).laplace(size=(64, 64)).astype(np.float32)
    torch.save({"a.weight": torch.from_numpy(weights)}, tmp_path / "m.pt")
    _, talk = terminal("compress", "m.pt", *options, folder=tmp_path)
    assert ("quantizing, tries" in talk) == ("--snr" in options)
    assert "coding, chunks" in talk
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", talk)
    assert re.search(r"coding.*?\b(\d+)/\1 00:00 left", plain)
    assert not any("━" in line for line in screen(talk, WIDTH))


def test_compress_shows_no_bar_in_a_pipe(capsys, tmp_path):
    torch.save({"a.weight": torch.arange(4096.0).reshape(64, 64)}, tmp_path / "m.pt")
    assert run(["compress", str(tmp_path / "m.pt"), "--snr", "20"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (64, 10, "6.4x smaller"), (10, 64, "6.4x larger"), (10, 10, "the same size"),
        (0, 104, "larger"), (0, 0, "the same size"),
    ],
)  # fmt: skip
def test_a_change_of_size(before, after, text):
    assert change_text(before, after) == text
