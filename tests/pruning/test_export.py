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
from lilnetx_cli.export.sizes import Written
from lilnetx_cli.graph.tracing import quietly
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


@pytest.mark.slow
def test_a_program_runs_with_torch_alone(network, images, tmp_path):
    path = tmp_path / "model.pt2"
    written = write_program(network, images[:2], path)
    assert written == Written(path.stat().st_size, None)
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
    written = write_onnx(network, images[:2], path)
    assert written == Written(path.stat().st_size, None)
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


class UNet(nn.Module):
    """Runs at even sizes."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, padding=1)
        self.middle = nn.Conv2d(4, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        kept = self.down(x).relu()
        low = self.middle(nn.functional.max_pool2d(kept, 2)).relu()
        return self.head(torch.cat([kept, self.up(low)], 1))


class Flattening(nn.Module):
    """Runs at one size."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 3)

    def forward(self, x):
        return self.layer(x.flatten(1))


class Branching(nn.Module):
    """Runs at any size, by another way in large images."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 4, 3)

    def forward(self, x):
        x = self.layer(x)
        return (x if x.shape[2] < 12 else 2 * x).mean((2, 3))


def test_ctrl_c_that_torch_made_an_error_of_is_one():
    """It would be taken for a network that cannot be exported."""
    failed = RuntimeError("torch failed")
    failed.__context__ = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt), quietly():
        raise failed
    with pytest.raises(RuntimeError, match="torch failed"), quietly():
        raise RuntimeError("torch failed")


class Placed(nn.Module):
    """Takes up to eight tokens: it adds a table of positions."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(5, 4)
        self.places = nn.Parameter(torch.linspace(-1, 1, 32).view(8, 4))
        self.head = nn.Linear(4, 3)

    def forward(self, words):
        x = self.words(words) + self.places[: words.shape[1]]
        return self.head(x.relu().mean(1))


def open_program(path):
    return torch.export.load(path).module()


def open_as_torch(path):
    run = open_onnx(path)
    return lambda images: torch.from_numpy(run(images.numpy()))


FORMS = [(write_program, open_program), (write_onnx, open_as_torch)]


@pytest.mark.parametrize(("write", "load"), FORMS, ids=["pt2", "onnx"])
def test_images_of_another_size_go_in_where_the_network_takes_them(
    write, load, tmp_path
):
    network = UNet().eval()
    path = tmp_path / "model"
    assert write(network, torch.zeros(2, 1, 8, 8), path).one_size is None
    images = torch.linspace(-1, 1, 3 * 20 * 14).reshape(3, 1, 20, 14)
    assert torch.allclose(load(path)(images), network(images), atol=1e-5)


@pytest.mark.parametrize(("write", "load"), FORMS, ids=["pt2", "onnx"])
@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Flattening(), "ran at no other"),
        (Branching(), "cannot leave its size open"),
    ],
)
def test_one_size_where_it_must_be_and_the_reason(
    write, load, network, reason, tmp_path
):
    path = tmp_path / "model"
    written = write(network.eval(), torch.zeros(2, 1, 8, 8), path)
    assert reason in written.one_size
    images = torch.linspace(-1, 1, 5 * 64).reshape(5, 1, 8, 8)
    assert torch.allclose(load(path)(images), network(images), atol=1e-5)


@pytest.mark.parametrize("length", [8, 4], ids=["longest", "shorter"])
@pytest.mark.parametrize(("write", "load"), FORMS, ids=["pt2", "onnx"])
def test_a_length_is_open_up_to_the_end_of_a_table(write, load, length, tmp_path):
    network, path = Placed().eval(), tmp_path / "model"
    written = write(network, torch.arange(2 * length).view(2, length) % 5, path)
    assert written.one_size is None
    assert written.limits == "length up to 8"
    for count in (3, 8):
        words = torch.arange(3 * count).view(3, count) % 5
        assert torch.allclose(load(path)(words), network(words), atol=1e-5)


def test_onnx_names_its_open_axes(tmp_path):
    import onnxruntime

    write_onnx(UNet().eval(), torch.zeros(2, 1, 8, 8), tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    assert session.get_inputs()[0].shape == ["batch", 1, "height", "width"]
