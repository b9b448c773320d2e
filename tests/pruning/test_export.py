"""Files for other programs: they give what the network gives, in a fresh process."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from lilnetx_cli.errors import LilnetxError
from lilnetx_cli.export.onnx import open_onnx, write_onnx
from lilnetx_cli.export.program import write_program
from lilnetx_cli.models import build
from lilnetx_cli.pruning import prune
from tests.pruning.deadening import kill_filters, lived_in


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    dense = lived_in(build("resnet20", {"channels": 1, "classes": 10}))
    kill_filters(dense, 0.5, gated=True)
    with torch.no_grad():  # a branch that goes whole
        dense.layer2[1].conv2.weight.zero_()
    return prune(dense, (torch.zeros(2, 1, 28, 28),)).model


@pytest.fixture(scope="module")
def images():
    return torch.randn(5, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def test_a_program_runs_with_torch_alone(network, images, tmp_path):
    path = tmp_path / "model.pt2"
    assert write_program(network, images[:2], path) == path.stat().st_size
    torch.save(images, tmp_path / "images.pt")
    code = (
        "import torch, sys\n"
        f"model = torch.export.load({str(path)!r}).module()\n"
        f"images = torch.load({str(tmp_path / 'images.pt')!r})\n"
        f"torch.save(model(images), {str(tmp_path / 'out.pt')!r})\n"
        "assert not any('lilnetx' in name or name == 'lnx' for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    given = torch.load(tmp_path / "out.pt")
    assert torch.allclose(given, network(images), atol=1e-5)


def test_onnx_runs_in_onnxruntime(network, images, tmp_path):
    path = tmp_path / "model.onnx"
    assert write_onnx(network, images[:2], path) == path.stat().st_size
    run = open_onnx(path)
    for count in (1, 5):
        wanted = network(images[:count]).detach().numpy()
        assert np.allclose(run(images[:count].numpy()), wanted, atol=1e-4)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


class Fixed(nn.Module):
    """Takes one batch size only."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x).view(2, 3)


@pytest.mark.parametrize("write", [write_program, write_onnx])
def test_what_cannot_be_exported_leaves_nothing(write, tmp_path):
    path = tmp_path / "model.out"
    with pytest.raises(LilnetxError, match="cannot be exported"):
        write(Fixed().eval(), torch.zeros(2, 4), path)
    assert list(tmp_path.iterdir()) == []


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x), x


def test_several_outputs_are_refused(tmp_path):
    with pytest.raises(LilnetxError, match="one tensor"):
        write_program(Pair().eval(), torch.zeros(2, 4), tmp_path / "model.pt2")
