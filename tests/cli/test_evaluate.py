"""`evaluate` without a data set, and with code of the user's own."""

from dataclasses import replace

import pytest
import torch

import lnx

NETWORK = """
from torch import nn
import blocks

def make(channels, classes):
    return blocks.network(channels, classes)
"""
BLOCKS = """
from torch import nn

def network(channels, classes):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, classes),
    )
"""
DATA = """
from pathlib import Path
from PIL import Image

Path("was_run").touch()

def pairs():
    images = [Image.new("RGB", (8, 8), (20 * n, 90, 200)) for n in range(12)]
    samples = [(image, n % 2) for n, image in enumerate(images)]
    return samples, samples[:4], 2
"""
FORM = ("--model", "resnet20", "--model-arg", "channels=1", "--model-arg", "classes=10")


@pytest.fixture(scope="module")
def state(trained):
    """A plain state dict, which says nothing of itself."""
    content = torch.load(trained / "run" / "model.pt", weights_only=True)
    path = trained / "state.pt"
    torch.save(content["state_dict"], path)
    return path


def test_work_is_measured_without_a_data_set(here, state):
    arguments = ("evaluate", state, *FORM, "--input-shape", "1x8x8", "--no-latency")
    done = here(*arguments, "--pruned", "--json")
    assert done.code == 0, done.err
    assert done.err == ""
    record = done.json
    for part in (record, record["pruned"]):
        for key in ("accuracy", "top5", "loss", "examples", "predictions"):
            assert part[key] is None
        assert part["macs"] == 2_516_608
        assert part["parameters"] == 269_434
    done = here(*arguments)
    assert done.code == 0
    assert "names no data set, add --dataset" in done.err
    assert "accuracy not measured" in done.out
    assert "2,516,608" in done.out


def test_a_data_set_says_what_a_network_of_ours_is_made_for(here, state):
    done = here("evaluate", state, "--model", "resnet20", "--dataset", "digits",
                "--no-latency", "--json")  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["examples"] == 359


def test_the_shape_comes_from_the_record(here, trained):
    container = lnx.load(trained / "model.lnx")
    bare = lnx.Container(container.tensors, container.decoders, container.architecture)
    lnx.save(bare, trained / "bare.lnx")
    done = here("evaluate", trained / "bare.lnx", "--seconds", "0.01", "--json")
    assert done.json["accuracy"] is None
    assert done.json["macs"] == 2_516_608
    assert done.json["latency_ms"]["median"] > 0


def test_without_a_shape_it_is_asked_for(here, state):
    done = here("evaluate", state, *FORM)
    assert done.code == 2
    assert "add --input-shape" in done.message
    done = here("evaluate", state, *FORM, "--data-dir", ".")
    assert done.code == 2
    assert "--data-dir needs --dataset" in done.message


def test_code_of_the_user_is_run_for_him_and_not_for_a_file(here, tmp_path):
    """Beside the factories stand files that they import; a .lnx names both."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "net.py").write_text(NETWORK)
    (tmp_path / "mine" / "blocks.py").write_text(BLOCKS)
    (tmp_path / "mine" / "data.py").write_text(DATA)
    model, data = "mine/net.py:make", "mine/data.py:pairs"
    done = here(
        "train", "--model", model, "--dataset", data, "--max-steps", "1", "-b", "4",
        "--device", "cpu", "-o", "run", "-j", "1", "-q", cwd=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "steps: 1, few for accuracy: run 500 or more" in done.out
    assert here("compress", "run/model.pt", "-o", "m.lnx").code == 0
    (tmp_path / "was_run").unlink()
    for path in ("m.lnx", "run/model.pt"):
        refused = here("evaluate", path)
        assert refused.code == 2
        assert "which a file may not run: name it with --model" in refused.message
    done = here("evaluate", "m.lnx", "--model", model, "--no-latency")
    assert done.code == 0, done.err
    assert "'mine/data.py:pairs', which a file may not run" in done.err
    assert not (tmp_path / "was_run").exists()
    done = here(
        "evaluate", "m.lnx", "--model", model, "--dataset", data, "--no-latency",
        "--json",
    )  # fmt: skip
    assert done.json["examples"] == 4


def test_another_data_set_than_that_of_the_training_is_noted(here, trained, tmp_path):
    container = lnx.load(trained / "model.lnx")
    record = {**container.training, "dataset": "fashion-mnist"}
    lnx.save(replace(container, training=record), tmp_path / "other.lnx")
    arguments = ("--dataset", "digits", "--no-latency")
    done = here("evaluate", tmp_path / "other.lnx", *arguments)
    assert "other.lnx was trained on 'fashion-mnist'" in done.err
    assert (
        "was trained on" not in here("evaluate", trained / "model.lnx", *arguments).err
    )
