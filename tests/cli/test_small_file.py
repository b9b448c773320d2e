"""A file of the smaller network: it loads wherever a file of the dense one does."""

import re

import numpy as np
import pytest
import torch

import lilnetx_cli as lilnetx
import lnx
from lilnetx_cli.checkpoint import load_checkpoint
from lilnetx_cli.cli.loading import load_network, load_pruned
from lilnetx_cli.cli.pruned_file import contents
from lilnetx_cli.config import resolve
from lilnetx_cli.data import load_splits
from lilnetx_cli.errors import UsageError
from lilnetx_cli.models import build
from lilnetx_cli.models.inputs import InputForm
from lilnetx_cli.nn import reparameterize
from lilnetx_cli.training.initial_weights import read_trained
from lilnetx_cli.training.set_up import open_session
from lilnetx_cli.training.smaller import cut_to_trained
from lilnetx_cli.training.state import read_resume, restore_session, save_session
from tests.cli.running import TRAIN
from tests.pruning.deadening import kill_filters, lived_in

FACTORY = """
import torch
from torch import nn

def net():
    return Mixed()

class Mixed(nn.Module):
    '''Two branches that are joined, grouped layers, a table that no file holds.'''

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 8, 3, padding=1)
        self.b = nn.Conv2d(1, 8, 3, padding=1)
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=4, bias=False)
        self.norm = nn.InstanceNorm2d(16)
        self.register_buffer("table", torch.arange(16.0)[:, None, None], False)
        self.wide = nn.Linear(16, 16)
        self.query = nn.Linear(16, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = torch.cat([self.a(x).relu(), self.b(x).relu()], 1)
        x = (self.norm(self.grouped(x)) * self.table).relu().flatten(2).mT
        value = self.wide(x).relu()
        scores = (self.query(x) @ x.mT * 0.1).softmax(-1)
        return self.head((scores @ value).mean(1))
"""


def dead(network, layer, places):
    """Make filters zero, and what comes after them."""
    with torch.no_grad():
        layer.weight[places] = 0
        if layer.bias is not None:
            layer.bias[places] = 0
    return network


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    path = tmp_path_factory.mktemp("factory") / "mine.py"
    path.write_text(FACTORY)
    return f"{path}:net"


def mixed(factory):
    network = build(factory, {}).eval()
    dead(network, network.a, slice(0, 3))
    dead(network, network.b, slice(4, 8))
    dead(network, network.grouped, [1, 5, 9, 13])
    dead(network, network.wide, slice(2, 9))
    return network


def zoo(name, **arguments):
    torch.manual_seed(0)
    network = lived_in(build(name, {"channels": 1, "classes": 10, **arguments}))
    return kill_filters(network, 0.5, gated=True)


NETWORKS = {
    "resnet20": {},
    "mobilenet_v2_cifar": {"percent": 25},
    "vgg16_bn": {"percent": 25},
}


def dense_file(network, path, name, arguments, *, latents):
    """Write a dense file; with latents as training leaves them."""
    record = {"name": name, "args": arguments, "size": 32}
    if latents:
        network = reparameterize(network, start="trained", spread=4.0)
    lilnetx.save(network, path, architecture=record)
    return path


def small_file(dense, path, *, multiple=1, form=None, name=None):
    """Write the small file as the verb does; return what pruning gave."""
    loaded = load_network(dense, name, {})
    pruned = load_pruned(dense, loaded, form, multiple)
    lnx.save(contents(pruned, loaded, form, named=name is not None), path)
    return pruned


def run(network, images):
    with torch.no_grad():
        return network(images)


@pytest.fixture(scope="module")
def images():
    draw = np.random.default_rng(0).normal(size=(3, 1, 32, 32))
    return torch.from_numpy(draw.astype(np.float32))


@pytest.mark.parametrize(
    ("name", "latents", "multiple"),
    [
        ("resnet20", True, 1),
        ("resnet20", True, 8),
        ("resnet20", False, 1),
        ("mobilenet_v2_cifar", True, 1),
        ("vgg16_bn", True, 1),
    ],
)
def test_the_small_file_is_the_pruned_network(
    tmp_path, images, name, latents, multiple
):
    arguments = {"channels": 1, "classes": 10, **NETWORKS[name]}
    dense = dense_file(
        zoo(name, **NETWORKS[name]), tmp_path / "dense.lnx", name, arguments,
        latents=latents,
    )  # fmt: skip
    small = tmp_path / "small.lnx"
    pruned = small_file(dense, small, multiple=multiple)
    assert pruned.removed_channels > 0
    network = lilnetx.load_model(small)
    assert torch.equal(run(network, images), run(pruned.model, images))
    assert str(network) == str(pruned.model)
    assert small.stat().st_size < dense.stat().st_size
    kinds = {tensor.kind for tensor in lnx.summary(small).tensors}
    assert ("latent" in kinds) == latents
    if multiple > 1:
        assert {len(x) % 8 for n, x in network.state_dict().items() if "conv" in n} == {
            0
        }


FORM = InputForm((1, 6, 6))


@pytest.fixture(scope="module")
def mixed_files(factory, tmp_path_factory):
    """A dense and a small file of a user's own network, and what pruning gave."""
    folder = tmp_path_factory.mktemp("mixed")
    lilnetx.save(mixed(factory), folder / "dense.lnx")
    small = folder / "small.lnx"
    pruned = small_file(folder / "dense.lnx", small, form=FORM, name=factory)
    return folder, small, pruned


def test_a_network_of_the_users_comes_back(factory, mixed_files, images):
    _, small, pruned = mixed_files
    record = lnx.summary(small).architecture
    assert record["input"] == "1x6x6"
    assert record["pruned"] == {
        "groups": {"grouped": 3}, "features": {"norm": 9},
        "kept": {"table": [[0, "bbb0"]]},
    }  # fmt: skip
    wanted = run(pruned.model, images[:, :, :6, :6])
    loaded = load_network(small, factory, {})
    assert torch.equal(run(loaded.network, images[:, :, :6, :6]), wanted)
    dense = build(factory, {})
    network = lilnetx.load_model(small, model=dense)
    assert torch.equal(run(network, images[:, :, :6, :6]), wanted)
    assert len(dense.wide.weight) == 16  # as it was
    with pytest.raises(UsageError, match="which a file may not run"):
        lilnetx.load_model(small)


def test_a_second_round_takes_more(factory, mixed_files, images):
    folder, small, _ = mixed_files
    again = load_network(small, factory, {}).network
    dead(again, again.grouped, [0, 3, 6])
    first = lnx.load(small)
    lilnetx.save(again, folder / "again.lnx", architecture=first.architecture)
    second = folder / "second.lnx"
    pruned = small_file(folder / "again.lnx", second, form=FORM, name=factory)
    assert pruned.removed_channels >= 3
    record = lnx.summary(second).architecture
    assert record["pruned"]["kept"] == {"table": [[0, "3330"]]}
    network = load_network(second, factory, {}).network
    small_images = images[:, :, :6, :6]
    assert torch.equal(run(network, small_images), run(pruned.model, small_images))


@pytest.fixture(scope="module")
def digits_files(tmp_path_factory):
    """A dense and a small file of a ResNet-20 of the digits, both with latents."""
    folder = tmp_path_factory.mktemp("digits")
    network = reparameterize(zoo("resnet20"), start="trained", spread=4.0)
    record = {"name": "resnet20", "args": {"channels": 1, "classes": 10}, "size": 8}
    training = {"dataset": "digits"}
    dense, small = folder / "dense.lnx", folder / "small.lnx"
    lilnetx.save(network, dense, architecture=record, training=training)
    small_file(dense, small)
    return dense, small


@pytest.mark.slow
def test_every_verb_takes_it(here, digits_files, tmp_path):
    dense, small = digits_files
    target = tmp_path / "written.lnx"
    done = here("decompress", dense, "--pruned", "-o", target, "--json")
    assert done.code == 0, done.err
    assert target.read_bytes() == small.read_bytes()
    assert here("verify", small).code == 0
    said = here("inspect", small).out
    assert "size 8, pruned\n" in said.replace("pruned, size 8", "size 8, pruned")
    dead = [re.search(r"(\d+) of \d+ rows of weights", text).group(1)
            for text in (here("inspect", dense).out, said)]  # fmt: skip
    assert int(dead[0]) > int(dead[1]) > 0  # those that are coupled stay
    predictions = [
        here("evaluate", file, "--no-latency", "--json").json["predictions"]
        for file in (dense, small)
    ]
    assert predictions[0] == predictions[1]
    again = tmp_path / "again.lnx"
    done = here("compress", small, "-o", again, "--snr", 60)
    assert done.code == 0, done.err
    wanted, found = (lnx.summary(file).architecture for file in (small, again))
    assert found == wanted
    assert here("evaluate", again, "--no-latency", "--json").code == 0
    done = here("decompress", small, "--pruned", "-o", tmp_path / "no.lnx", "--json")
    assert done.json["removed_channels"] == 0


@pytest.mark.parametrize("dense_way", [True, False])
def test_tensors_in_safetensors_load_again(here, digits_files, tmp_path, dense_way):
    dense, small = digits_files
    target = tmp_path / "small.safetensors"
    call = ("decompress", small) if dense_way else ("decompress", dense, "--pruned")
    assert here(*call, "-o", target).code == 0
    images = torch.linspace(-1, 1, 2 * 64).reshape(2, 1, 8, 8)
    wanted = run(lilnetx.load_model(small), images)
    assert torch.equal(run(lilnetx.load_model(target), images), wanted)
    assert here("compress", target, "-o", tmp_path / "back.lnx", "--lossless").code == 0
    assert torch.equal(run(lilnetx.load_model(tmp_path / "back.lnx"), images), wanted)


def test_a_lnx_file_needs_pruned(here, digits_files, tmp_path):
    done = here("decompress", digits_files[0], "-o", tmp_path / "a.lnx")
    assert done.code == 2
    assert "only --pruned writes" in done.message


def test_it_is_trained_again(here, digits_files, tmp_path):
    _, small = digits_files
    done = here(*TRAIN, "--init", small, "-o", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    checkpoint = load_checkpoint(tmp_path / "run" / "model.pt")
    wanted = lilnetx.load_model(small).state_dict()
    found = checkpoint.state_dict
    assert {k: v.shape for k, v in found.items() if v.dim() > 1} == {
        k: v.shape for k, v in wanted.items() if v.dim() > 1
    }
    assert checkpoint.architecture == lnx.summary(small).architecture
    other = here(*TRAIN, "--init", small, "--model", "resnet32", "-o", tmp_path / "no")
    assert other.code == 2
    assert "was not pruned from the network, which has 'layer" in other.message


def test_it_is_not_cut_for_other_classes(digits_files):
    arguments = {"channels": 1, "classes": 100}
    network = build("resnet20", arguments)
    record = {"name": "resnet20", "args": arguments}
    with pytest.raises(UsageError, match="10 classes, the images need 100"):
        cut_to_trained(network, record, read_trained(digits_files[1]), "small.lnx")


def test_training_goes_on_after_a_stop(digits_files, tmp_path):
    config = resolve(None, {"data.name": "digits", "train.device": "cpu",
                            "model.init": digits_files[1]})  # fmt: skip
    splits = load_splits("digits", None)
    session = open_session(config, splits)
    save_session(session, tmp_path / "resume.pt", 0.0)
    content = read_resume(tmp_path / "resume.pt")
    again = open_session(config, splits, fresh=False, form=content["form"])
    restore_session(again, content)
    assert again.architecture == session.architecture
    wanted = session.model.state_dict()
    assert all(torch.equal(wanted[k], v) for k, v in again.model.state_dict().items())


@pytest.mark.slow
def test_a_trellis_becomes_plain_integers(here, tmp_path, images):
    """A trellis holds for whole weights; the integers behind it are cut exactly."""
    arguments = {"channels": 1, "classes": 10}
    plain = dense_file(
        zoo("resnet20"), tmp_path / "plain.lnx", "resnet20", arguments, latents=False
    )
    dense, small = tmp_path / "dense.lnx", tmp_path / "small.lnx"
    assert here("compress", plain, "-o", dense, "--snr", 40).code == 0
    done = here("decompress", dense, "--pruned", "-o", small)
    assert done.code == 0, done.err
    grown = small.stat().st_size > dense.stat().st_size
    assert ("compress it again for a smaller one" in done.err) == grown
    codings = {(x.kind, x.coding) for x in lnx.summary(small).tensors if x.coding}
    assert ("latent", "steps, places") in codings
    wanted = run(lilnetx.load_model(dense, pruned=True), images)
    assert torch.equal(run(lilnetx.load_model(small), images), wanted)
