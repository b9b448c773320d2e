"""`inspect` of checkpoints that are not .lnx files: why they are so large."""

import json
import shlex
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lilnetx_cli.__main__ import run
from tests.cli.terminal import Terminal, screen

KEYS = {
    "file_bytes", "kind", "entry", "parameters", "tensor_bytes", "unused_bytes",
    "pickle_bytes", "container_bytes", "compressed_bytes", "compressed_overhead_bytes",
    "sampled", "command", "refusal", "groups", "findings", "tensors",
}  # fmt: skip
TENSOR_KEYS = {
    "name", "shape", "dtype", "group", "bytes", "zstd_bytes", "entropy_bits_per_weight",
    "entropy_bytes", "lilnetx_bytes",
}  # fmt: skip


def laplace(seed, *shape):
    values = np.random.default_rng(seed).laplace(size=shape)
    return torch.from_numpy(values.astype(np.float32))


def network():
    state = {"embedding.weight": laplace(0, 300, 64)}
    for n in range(30):
        state[f"layers.{n}.self_attention.weight"] = 0.1 * laplace(n, 64, 64)
        state[f"layers.{n}.norm.bias"] = laplace(n, 64)
    return state | {"steps": torch.tensor(7)}


def training():
    """Return what a trainer saves."""
    state = network()
    step = torch.tensor(3.0)
    moments = {
        n: {"exp_avg": value + 1, "exp_avg_sq": value.square(), "step": step.clone()}
        for n, value in enumerate(state.values())
    }
    return {
        "epoch": 3,
        "net": {f"module.{name}": value for name, value in state.items()},
        "optimizer": {"state": moments, "param_groups": [{"lr": 0.1}]},
        "scheduler": {"last_epoch": 3},
        "ema": {name: value + 0.5 for name, value in state.items()},
    }


def shards(state, folder):
    """Write a network in two files and their index."""
    folder.mkdir()
    names = list(state)
    files = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, members in files.items():
        save_file({name: state[name] for name in members}, folder / file)
    where = {name: file for file, members in files.items() for name in members}
    text = json.dumps({"metadata": {}, "weight_map": where})
    (folder / "model.safetensors.index.json").write_text(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Checkpoints of several forms; not to be changed."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.save(training(), folder / "training.pt")
    torch.save(network(), folder / "plain.pth")
    save_file(network(), folder / "plain.safetensors")
    shards(network(), folder / "sharded")
    stray = {"best": torch.tensor(71.3), "the weights": {"w": laplace(0, 90, 90)}}
    torch.save(stray, folder / "stray it.pt")
    return folder


@pytest.mark.parametrize(
    "name",
    ["training.pt", "plain.pth", "plain.safetensors", "stray it.pt", "sharded"],
)
def test_the_command_gives_what_was_promised(here, folder, tmp_path, name):
    record = here("inspect", name, "--json", cwd=folder).json
    assert set(record) == KEYS
    assert set(record["tensors"][0]) == TENSOR_KEYS
    files = [p for p in (folder / name, *folder.glob(f"{name}/*")) if p.is_file()]
    assert record["file_bytes"] == sum(file.stat().st_size for file in files)
    assert record["file_bytes"] == sum(
        record[f"{part}_bytes"] for part in ("tensor", "unused", "pickle", "container")
    )
    assert record["tensor_bytes"] == sum(t["bytes"] for t in record["tensors"])
    for key in ("bytes", "zstd_bytes"):
        groups = sum(group[key] for group in record["groups"])
        assert groups == sum(tensor[key] for tensor in record["tensors"])
    ours = sum(tensor["lilnetx_bytes"] or 0 for tensor in record["tensors"])
    assert record["compressed_bytes"] == ours + record["compressed_overhead_bytes"]
    words = shlex.split(record["command"])
    assert words[:3] == ["lilnetx", "compress", name]
    done = here(*words[1:], "-o", tmp_path / "m.lnx", "--json", cwd=folder)
    assert done.code == 0, done.err
    assert record["compressed_bytes"] == pytest.approx(
        done.json["output_bytes"], rel=0.03
    )
    assert record["parameters"] >= done.json["parameters"]  # integers are none


def test_a_training_checkpoint_on_a_terminal(monkeypatch, folder):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.chdir(folder)
    out, err = Terminal(), Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        assert run(["inspect", "training.pt"]) == 0
    lines = screen(out.getvalue(), 80)
    text = "\n".join(lines)
    assert lines[0].startswith("training.pt: 2.4 MB, a PyTorch checkpoint")
    assert lines[1].startswith("  network in entry 'net': ")
    for part in ("weights", "norms and biases", "buffers", "second copy, such as EMA",
                 "optimizer state", "pickle (names, values)",
                 "zip container, alignment", "whole file"):  # fmt: skip
        assert sum(line.startswith(f"{part}  ") for line in lines) == 1, part
    rows = [line.split()[0] for line in lines if "self_attention" in line]
    assert "layers.0.self_attention.weight" in rows  # whole, without module.
    assert len(rows) <= 21
    assert "... and " in text
    assert "optimizer state, 186 tensors such as" in text
    assert "every name starts with 'module.': harmless" in text
    assert lines[-3] == "next: lilnetx compress training.pt"
    assert "at 40 dB, about as close as 8 bits" in lines[-2]
    assert "every tensor: -v, or --layer" in err.getvalue()


def test_layer_takes_names_as_they_are_and_as_they_are_shown(here, folder):
    shown = here("inspect", "training.pt", "--layer", "layers.2", "--json", cwd=folder)
    whole = here("inspect", "training.pt", "--layer", "net.module.layers.2", "--json",
                 cwd=folder)  # fmt: skip
    names = [tensor["name"] for tensor in whole.json["tensors"]]
    assert len(names) == 22
    assert names == [tensor["name"] for tensor in shown.json["tensors"]]


@pytest.mark.parametrize("key", [None, "model", "net.ema"])
def test_a_pickled_module_that_is_trusted(here, tmp_path, key):
    content = torch.nn.Sequential(torch.nn.Linear(90, 90), torch.nn.Linear(90, 2))
    for name in reversed(key.split(".") if key else ()):
        content = {name: content}
    torch.save(content, tmp_path / "m.pt")
    assert here("inspect", "m.pt", cwd=tmp_path).code == 3
    done = here("inspect", "m.pt", "--unsafe-pickle", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert len(done.json["tensors"]) == 4
    words = shlex.split(done.json["command"])
    assert words[3:] == ["--key", key] * (key == "net.ema") + ["--unsafe-pickle"]
    assert here(*words[1:], cwd=tmp_path).code == 0


def test_a_pipe_gets_every_tensor(here, folder):
    done = here("inspect", "plain.pth", cwd=folder)
    assert done.code == 0
    assert done.err == ""
    for name in network():
        assert f"\n{name} " in done.out


def test_a_run_says_which_file_to_take(here, trained):
    record = here("inspect", trained / "run" / "model.pt", "--json").json
    assert record["kind"] == "lilnetx"
    size = (trained / "model.lnx").stat().st_size
    assert record["compressed_bytes"] == pytest.approx(size, rel=0.03)
    assert "latents" in [finding["kind"] for finding in record["findings"]]
    done = here("inspect", trained / "run" / "model.pt")
    assert " without loss: " in done.out
    done = here("inspect", trained / "run" / "resume.pt")
    assert done.code == 0
    assert "compress the model.pt that is written at the end of the run" in done.out
    record = here("inspect", trained / "run" / "resume.pt", "--json").json
    assert record["compressed_bytes"] is None
    assert record["command"] is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"w": laplace(0, 9, 9).to_sparse()}, "not a dense tensor"),
        ({"w": torch.zeros(2, dtype=torch.complex128)}, "files do not hold"),
        ({"w": torch.zeros(1).expand(1 << 40)}, "views in it repeat"),
        ([torch.zeros(9)], "finds no network"),
        ({"optimizer": {"x": torch.zeros(9)}}, "finds no network"),
    ],
)
def test_what_compress_does_not_take_is_shown_all_the_same(
    here, tmp_path, content, reason
):
    torch.save(content, tmp_path / "m.pt")
    done = here("inspect", tmp_path / "m.pt", "--json")
    assert done.code == 0, done.err
    assert reason in done.json["refusal"]
    assert done.json["compressed_bytes"] is None
    done = here("inspect", tmp_path / "m.pt")
    assert done.code == 0
    assert reason in done.out


def test_a_network_of_no_bytes(here, tmp_path):
    torch.save({"a": torch.zeros(0)}, tmp_path / "empty.pt")
    assert here("compress", "empty.pt", cwd=tmp_path).code == 0
    assert here("inspect", "empty.lnx", cwd=tmp_path).code == 0
