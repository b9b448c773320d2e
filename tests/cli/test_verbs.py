import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import lnx
from tests.cli.running import TRAIN


def test_train_reports_itself(trained):
    record = json.loads((trained / "train.json").read_text())
    assert set(record) >= {
        "checkpoint", "epochs", "accuracy", "validation_accuracy", "estimated_bytes",
        "slice_sparsity", "channel_sparsity", "seconds", "seconds_per_step",
    }  # fmt: skip
    assert 0 <= record["accuracy"] <= 1
    size = (trained / "model.lnx").stat().st_size
    assert abs(record["estimated_bytes"] - size) <= 0.03 * size
    about = lnx.summary(trained / "model.lnx")
    zero, slices = (sum(getattr(t, key) for t in about.tensors)
                    for key in ("zero_slices", "slices"))  # fmt: skip
    assert record["slice_sparsity"] == zero / slices


def test_compress_reports_whole_file(cli, files):
    done = cli("compress", "model.pt", "-o", "again.lnx", "--json", cwd=files)
    record = done.json
    size = (files / "again.lnx").stat().st_size
    assert record["output_bytes"] == size
    parts = ("payload_bytes", "side_bytes", "overhead_bytes")
    assert sum(record[part] for part in parts) == size
    assert record["input_bytes"] == (files / "model.pt").stat().st_size
    assert record["parameters"] > 270_000
    assert record["bits_per_weight"] == 8 * size / record["parameters"]
    assert record["snr_db"] is None
    assert record["peak_rss_bytes"] > 1e7
    assert (files / "again.lnx").read_bytes() == (files / "model.lnx").read_bytes()


def test_output_stands_beside_the_input(cli, files):
    (files / "model.lnx").rename(files / "kept.lnx")
    assert cli("compress", files / "model.pt").code == 0
    assert (files / "model.lnx").read_bytes() == (files / "kept.lnx").read_bytes()
    assert cli("decompress", files / "model.lnx").code == 0
    assert (files / "model.safetensors").exists()


def test_a_container_may_be_compressed_again(cli, files):
    done = cli("compress", "model.lnx", "-o", "again.lnx", cwd=files)
    assert done.code == 0
    assert (files / "again.lnx").read_bytes() == (files / "model.lnx").read_bytes()


def test_inspect_shows_every_part(cli, trained):
    path = trained / "model.lnx"
    record = cli("inspect", path, "--json").json
    assert record["file_bytes"] == path.stat().st_size
    assert sum(s["bytes"] for s in record["sections"]) == record["file_bytes"]
    tensors = {t["name"]: t for t in record["tensors"]}
    assert tensors["conv1.weight"]["shape"] == [16, 1, 3, 3]
    assert tensors["conv1.weight"]["kind"] == "latent"
    assert tensors["bn1.running_mean"]["bits_per_weight"] == 0
    assert 0 <= tensors["layer3.0.conv1.weight"]["slice_sparsity"] <= 1
    container = lnx.load(path)
    symbols = container.resolve("layer3.0.conv1.weight").symbols
    zero = 1 - np.count_nonzero(symbols) / symbols.size
    assert abs(tensors["layer3.0.conv1.weight"]["zero_fraction"] - zero) < 1e-9
    text = cli("inspect", path)
    assert "layer3.0.conv1.weight" in text.out
    assert "payload" in text.out
    assert text.err == ""
    few = cli("inspect", path, "--layer", "layer1.", "--json").json["tensors"]
    assert few
    assert all(t["name"].startswith("layer1.") for t in few)


def test_verify(cli, files):
    record = cli("verify", files / "model.lnx", "--json").json
    assert record["ok"] is True
    assert record["bytes"] == (files / "model.lnx").stat().st_size
    data = bytearray((files / "model.lnx").read_bytes())
    data[len(data) // 2] ^= 1
    (files / "model.lnx").write_bytes(data)
    done = cli("verify", files / "model.lnx")
    assert done.code == 3
    assert "damaged" in done.message
    assert "layer" in done.message


def test_both_outputs_hold_the_same_bits(cli, files):
    for name in ("out.safetensors", "out.pt"):
        record = cli("decompress", "model.lnx", "-o", name, "--json", cwd=files).json
        assert record["output_bytes"] == (files / name).stat().st_size
        assert record["pruned"] is False
        assert record["max_abs_difference"] is None
    state = torch.load(files / "out.pt", weights_only=True)
    trained = torch.load(files / "model.pt", weights_only=True)["state_dict"]
    arrays = load_file(files / "out.safetensors")
    numpy_alone = lnx.arrays(files / "model.lnx")
    assert list(state) == list(trained) == list(numpy_alone)
    for name, tensor in trained.items():
        bits = tensor.numpy().tobytes()
        assert state[name].numpy().tobytes() == bits
        assert arrays[name].tobytes() == bits
        assert numpy_alone[name].tobytes() == bits


def test_decoded_networks_predict_the_same(cli, files):
    short = ("--seconds", "0.05", "--json")
    before = cli("evaluate", files / "model.pt", *short).json
    after = cli("evaluate", files / "model.lnx", *short).json
    assert before["predictions"] == after["predictions"]
    assert before["accuracy"] == after["accuracy"]
    assert before["loss"] == after["loss"]
    about = cli("inspect", files / "model.lnx", "--json").json
    assert before["slice_sparsity"] == after["slice_sparsity"]
    assert about["slice_sparsity"] == after["slice_sparsity"] > 0
    assert after["examples"] == 359
    assert after["file_bytes"] == (files / "model.lnx").stat().st_size
    keys = {
        "accuracy",
        "top5",
        "loss",
        "examples",
        "file_bytes",
        "parameters",
        "macs",
        "uncounted_operations",
        "slice_sparsity",
        "channel_sparsity",
        "latency_ms",
    }
    assert keys <= set(after)


def test_models_lists_networks_and_data(cli):
    text = cli("models").out
    assert "resnet110" in text
    assert "fashion-mnist" in text
    record = cli("models", "--json").json
    assert {"resnet20", "resnet56"} <= {m["name"] for m in record["models"]}


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("train", "-h")])
def test_help(cli, arguments):
    done = cli(*arguments)
    assert done.code == 0
    assert "Usage: lilnetx" in done.out


def test_version(cli):
    from lilnetx_cli import __version__

    assert cli("--version").out == f"lilnetx {__version__}\n"


WITHOUT_TORCH = """
import sys
from lilnetx_cli.__main__ import run
code = run({arguments!r})
found = [name for name in ("torch", "torchvision", "matplotlib") if name in sys.modules]
sys.exit(f"imported {{found}}" if found else code)
"""


@pytest.mark.parametrize("verb", ["--help", "inspect", "verify", "decompress"])
def test_these_start_without_torch(verb, files):
    arguments = [verb] if verb == "--help" else [verb, str(files / "model.lnx")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH.format(arguments=arguments)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_stopped_run_is_resumed(cli, tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "lilnetx_cli", *TRAIN, "-o", str(folder)]
    command[command.index("--max-steps") + 1] = "400"
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (folder / "config.toml").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert f"lilnetx train -o {folder} --resume\n" in err
    assert "Traceback" not in err
    assert not (folder / "model.pt").exists()
    refused = cli("train", "-o", folder)
    assert refused.code == 2
    assert "holds a run" in refused.message
    other = cli("train", "-o", folder, "--resume", "auto", "--seed", "5")
    assert other.code == 2
    assert "keeps its own settings" in other.message
    moved = ("--workers", "1", "--device", "cpu")  # where it runs, not what it learns
    other = cli("train", "-o", folder, "--resume", *moved, "--lr", "1")
    assert "keeps its own settings" in other.message
    content = torch.load(folder / "resume.pt", weights_only=True)
    content["config"]["train"]["max_steps"] = content["step"] + 2
    torch.save(content, folder / "resume.pt")
    done = cli("train", "--resume", "-o", folder, "--json", *moved)
    assert done.code == 0, done.err
    assert (folder / "model.pt").exists()
    assert "workers = 1\n" in (folder / "config.toml").read_text()


def test_a_run_goes_on_where_its_files_are(cli, tmp_path):
    own, folder = tmp_path / "own", tmp_path / "run"
    own.mkdir()
    (own / "net.py").write_text(
        "from torch import nn\n"
        "def net(channels, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, classes))\n"
    )
    words = ("train", "--dataset", "digits", "--model", "net.py:net", "-b", "32",
             "--max-steps", "2", "--device", "cpu", "-o", folder)  # fmt: skip
    done = cli(*words, cwd=own)
    assert done.code == 0, done.err
    elsewhere = cli("train", "-o", folder, "--resume", cwd=tmp_path)
    assert elsewhere.code == 2
    assert f"'net.py' is relative to {str(own)!r}" in elsewhere.message
    assert cli("train", "-o", folder, "--resume", cwd=own).code == 0
    (tmp_path / "sweep.toml").touch()
    whole = cli("train", "-o", tmp_path, "--resume")
    assert "holds a sweep: add --sweep" in whole.message


def test_settings_from_file_and_command_line(cli, tmp_path):
    (tmp_path / "c.toml").write_text(
        '[model]\nname = "resnet20"\n[model.args]\nwidth = 2\n[train]\nseed = 3\n'
        "batch_size = 999999\n"
    )
    done = cli(*TRAIN, "-c", "c.toml", "--seed", "4", "-o", "run", "-q", cwd=tmp_path)
    assert done.code == 0, done.err
    text = (tmp_path / "run" / "config.toml").read_text()
    assert "width = 2" in text
    assert "seed = 4" in text
    assert "batch_size = 32" in text
    assert done.err == ""


def test_demo_help_says_what_it_does(cli):
    assert "digits" in cli("demo", "-h").out


def test_a_reader_that_stops_early_is_no_error(trained):
    command = (
        f"{sys.executable} -m lilnetx_cli inspect {trained / 'model.lnx'} | head -1"
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert done.stdout.count("\n") == 1


def test_no_color_is_obeyed(trained):
    environment = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": ""}
    done = subprocess.run(
        [sys.executable, "-m", "lilnetx_cli", "inspect", str(trained / "model.lnx")],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert "\x1b[3" not in done.stdout


def test_inspect_draws(cli, files):
    done = cli("inspect", "model.lnx", "--plot", "p.png", "--json", cwd=files)
    assert done.code == 0
    assert done.json["file_bytes"] == (files / "model.lnx").stat().st_size
    assert (files / "p.png").read_bytes().startswith(b"\x89PNG")
    assert cli("inspect", "model.lnx", "--plot", "p.png", cwd=files).code == 2
