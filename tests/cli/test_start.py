"""What `train` says of the weights that it starts from."""

import pytest
import torch

from lilnetx_cli.models import build
from tests.nn.making import filled

STEP = (
    "train", "--dataset", "digits", "--device", "cpu", "-b", "64", "--max-steps", "1",
    "--set", "train.calibration_images=64",
)  # fmt: skip

FACTORY = """
import torch
from torch import nn

def network(channels, classes):
    model = nn.Sequential(
        nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, classes),
    )
    model[1].bias.data.copy_(torch.arange(8))  # learned somewhere
    return model
"""


@pytest.fixture
def network(tmp_path):
    """A trained network as a factory, and one as a checkpoint."""
    (tmp_path / "own.py").write_text(FACTORY)
    dense = filled(build("resnet20", {"channels": 1, "classes": 10}), 32, 1, 8, 8)
    torch.save(dense.state_dict(), tmp_path / "dense.pt")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "warnings"),
    [
        ((), 0),
        (("--init", "dense.pt"), 0),
        (("--init", "dense.pt", "--set", "train.first_spread=0.3"), 1),
        (("--model", "own.py:network"), 0),
        (("--model", "own.py:network", "--set", "train.first_spread=0.3"), 1),
    ],
    ids=["drawn", "trained", "trained, coarse", "a factory's", "a factory's, coarse"],
)
def test_a_start_that_spoils_weights_is_one_line(cli, network, options, warnings):
    done = cli(*STEP, "-q", *options, cwd=network)
    assert done.code == 0, done.err
    lines = done.err.splitlines()
    assert len(lines) == warnings, done.err
    for line in lines:
        assert line.startswith("warning: rounding changes ")
