"""The verbs on networks with dead channels."""

import json

import pytest
import torch
from torch import nn

import lilnetx_cli as lilnetx
import lnx
from lilnetx_cli.models import build
from tests.nn.making import filled

FACTORY = """
from torch import nn

def net(channels=1):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1),
        nn.Flatten(), nn.Linear(4 * 64, 10),
    )

def branching():
    return Branching()

class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 10, 8)

    def forward(self, x):
        return self.layer(x).flatten(1) if x.sum() > 0 else x.flatten(1)[:, :10]
"""


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """A ResNet-20 for the digits with dead filters, and one of a factory."""
    folder = tmp_path_factory.mktemp("sparse")
    torch.manual_seed(0)
    arguments = {"channels": 1, "classes": 10}
    network = build("resnet20", arguments).eval()
    with torch.no_grad():
        for block in [*network.layer1, *network.layer2, *network.layer3]:
            block.conv1.weight[::2] = 0
    record = {"name": "resnet20", "args": arguments, "size": 8}
    lilnetx.save(
        network, folder / "named.lnx", architecture=record,
        training={"dataset": "digits"},
    )  # fmt: skip
    (folder / "mine.py").write_text(FACTORY)
    own = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.Flatten(),
        nn.Linear(4 * 64, 10),
    ).eval()  # fmt: skip
    with torch.no_grad():
        own[0].weight[:5] = 0
    lilnetx.save(own, folder / "own.lnx")
    return folder


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "pt2", "onnx"])
def test_decompress_pruned(cli, sparse, tmp_path, suffix):
    target = tmp_path / f"out.{suffix}"
    done = cli("decompress", sparse / "named.lnx", "--pruned", "-o", target, "--json")
    assert done.code == 0, done.err
    assert done.json["pruned"] is True
    assert done.json["removed_channels"] == 8 * 3 + 16 * 3 + 32 * 3
    assert done.json["kept_channels"] == []
    assert done.json["one_size"] is None
    assert done.json["max_abs_difference"] < 1e-3  # float32, inputs of 100
    assert done.json["output_bytes"] == target.stat().st_size
    dense = tmp_path / f"dense.{suffix}"
    assert cli("decompress", sparse / "named.lnx", "-o", dense).code == 0
    assert target.stat().st_size < 0.75 * dense.stat().st_size


def test_the_pruned_state_dict_is_that_of_the_pruned_network(cli, sparse, tmp_path):
    target = tmp_path / "out.pt"
    assert cli("decompress", sparse / "named.lnx", "--pruned", "-o", target).code == 0
    state = torch.load(target, weights_only=True)
    network = lilnetx.load_model(sparse / "named.lnx", pruned=True)
    assert list(state) == list(network.state_dict())
    assert all(torch.equal(state[k], v) for k, v in network.state_dict().items())
    assert network.layer1[0].conv1.out_channels == 8
    images = torch.randn(3, 1, 8, 8)
    dense = lilnetx.load_model(sparse / "named.lnx")
    assert torch.allclose(dense(images), network(images), atol=1e-5)


def test_a_state_dict_that_says_not_how_it_was_cut(here, sparse, tmp_path):
    """The note comes wherever the file lacks channels, and nowhere else."""
    said = "a .pth file does not record how the network was pruned"
    small, target = tmp_path / "small.lnx", tmp_path / "out.pth"
    named = sparse / "named.lnx"
    assert said not in here("decompress", named, "-o", target).err
    assert said in here("decompress", named, "--pruned", "-fo", target).err
    assert here("decompress", named, "--pruned", "-o", small).code == 0
    assert said in here("decompress", small, "-fo", target).err
    whole = build("resnet20", {"channels": 1, "classes": 10})
    record = {"name": "resnet20", "args": {"channels": 1, "classes": 10}, "size": 8}
    lilnetx.save(filled(whole, 2, 1, 8, 8), tmp_path / "w.lnx", architecture=record)
    done = here("decompress", tmp_path / "w.lnx", "--pruned", "-fo", target)
    assert done.code == 0
    assert said not in done.err


def test_a_checkpoint_is_pruned_first_and_compressed_then(here, sparse, tmp_path):
    """Its channels go before anything is rounded."""
    state = lilnetx.load_model(sparse / "named.lnx").state_dict()
    torch.save(state, tmp_path / "dense.pt")
    form = ("--model", "resnet20", "--model-arg", "channels=1", "--model-arg",
            "classes=10", "--input-shape", "1x8x8")  # fmt: skip
    small = tmp_path / "small.lnx"
    done = here("decompress", tmp_path / "dense.pt", "--pruned", *form, "-o", small)
    assert done.code == 0, done.err
    assert lnx.load(small).architecture["name"] == "resnet20"
    assert here("compress", small, "-o", tmp_path / "s.lnx", "--snr", 30).code == 0
    assert (tmp_path / "s.lnx").stat().st_size < small.stat().st_size / 4
    network = lilnetx.load_model(tmp_path / "s.lnx")
    assert network.layer1[0].conv1.out_channels == 8


def test_channel_counts_in_multiples(cli, sparse, tmp_path):
    target = tmp_path / "out.pt"
    done = cli("decompress", sparse / "named.lnx", "--pruned", "--round-channels", 12,
               "-o", target, "--json")  # fmt: skip
    assert done.code == 0, done.err
    state = torch.load(target, weights_only=True)
    assert len(state["layer1.0.conv1.weight"]) == 12
    reasons = {kept["reason"] for kept in done.json["kept_channels"]}
    assert reasons == {"rounding to a multiple of 12"}
    assert len(state["layer3.0.conv1.weight"]) == 36


def test_a_factory_is_pruned_where_the_user_names_it(cli, sparse, tmp_path):
    arguments = (
        "decompress",
        sparse / "own.lnx",
        "--pruned",
        "-o",
        tmp_path / "o.onnx",
    )
    named = ("--model", f"{sparse / 'mine.py'}:net")
    assert "add --model" in cli(*arguments).message
    assert "add --input-shape" in cli(*arguments, *named).message
    text = cli(*arguments, *named, "--input-shape", "1x8x8")
    assert "5 channels removed" in text.out
    assert "takes only inputs of 1x8x8: it ran at no other" in text.err
    done = cli(*arguments, *named, "--input-shape", "1x8x8", "--json", "-f")
    assert done.code == 0, done.err
    assert done.json["removed_channels"] == 5
    assert done.json["one_size"] == "it ran at no other size that was tried"
    model = build(f"{sparse / 'mine.py'}:net", {})
    pruned = lilnetx.load_model(
        sparse / "own.lnx", pruned=True, model=model, inputs=(torch.zeros(2, 1, 8, 8),)
    )
    assert pruned[0].out_channels == 3


def test_what_cannot_be_pruned_is_refused_and_the_dense_one_is_there(
    cli, sparse, tmp_path
):
    model = build(f"{sparse / 'mine.py'}:branching", {})
    lilnetx.save(model, tmp_path / "b.lnx")
    named = ("--model", f"{sparse / 'mine.py'}:branching", "--input-shape", "1x8x8")
    target = tmp_path / "out.pt"
    done = cli("decompress", tmp_path / "b.lnx", "--pruned", "-o", target, *named)
    assert done.code == 1
    assert (
        "is not pruned: the network cannot be traced by torch.export, at"
        in done.message
    )
    assert not target.exists()
    assert cli("decompress", tmp_path / "b.lnx", "-o", target).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--round-channels", "8"), "needs --pruned"),
        (("--pruned", "--input-shape", "3xx"), "is not a shape"),
        (("--pruned", "--input-shape", "0x8x8"), "is not a shape"),
        (("--pruned", "--model-arg", "width=2"), "needs --model"),
        (("--pruned", "--model", "resnet21"), "no network is named"),
        (("--pruned", "--model", "resnet32"), "does not fit the network"),
    ],
)
def test_wrong_options(cli, sparse, tmp_path, arguments, message):
    target = tmp_path / "out.pt"
    done = cli("decompress", sparse / "named.lnx", "-o", target, *arguments)
    assert done.code == 2
    assert message in done.message
    assert not target.exists()


def test_images_of_another_shape_are_refused(cli, sparse, tmp_path):
    target = tmp_path / "out.pt"
    for way in (("-o", target, "--pruned"), ("-o", target.with_suffix(".onnx"))):
        done = cli("decompress", sparse / "named.lnx", *way, "--input-shape", "3x8x8")
        assert done.code == 2
        assert "does not take inputs of shape (3, 8, 8): " in done.message


@pytest.mark.parametrize("size", [-1, 1 << 40, "8", None, True])
def test_a_file_cannot_ask_for_huge_images(cli, sparse, tmp_path, size):
    container = lnx.load(sparse / "named.lnx")
    record = {**container.architecture, "size": size}
    path = tmp_path / "odd.lnx"
    lnx.save(lnx.Container(container.tensors, container.decoders, record), path)
    done = cli("decompress", path, "--pruned", "-o", tmp_path / "out.pt")
    if size is True:
        assert done.code in (1, 2)
    else:
        assert "add --input-shape" in done.message


def test_evaluate_tells_of_both(cli, sparse):
    done = cli(
        "evaluate", sparse / "named.lnx", "--pruned", "--seconds", "0.05", "--json"
    )
    assert done.code == 0, done.err
    dense, pruned = done.json, done.json["pruned"]
    assert dense["predictions"] == pruned["predictions"]
    assert pruned["macs"] < 0.7 * dense["macs"]
    assert pruned["parameters"] < 0.7 * dense["parameters"]
    assert pruned["removed_channels"] == 168
    assert "relu" in dense["uncounted_operations"]
    assert 0.1 < dense["channel_sparsity"] < 0.5
    for record in (dense, pruned):
        assert set(record["latency_ms"]) == {"median", "p95", "batch", "threads"}
        kinds = [(x["engine"], x["batch"]) for x in record["latencies_ms"]]
        assert kinds == [
            ("torch", 1),
            ("torch", 32),
            ("onnxruntime", 1),
            ("onnxruntime", 32),
        ]
        assert all(0 < x["median"] <= x["p95"] for x in record["latencies_ms"])


def test_evaluate_without_times(cli, sparse):
    done = cli("evaluate", sparse / "named.lnx", "--no-latency", "--json")
    assert done.code == 0, done.err
    assert done.json["latency_ms"] is None
    assert done.json["macs"] > 1e6
    text = cli("evaluate", sparse / "named.lnx", "--no-latency").out
    assert "not counted in MACs: add" in text


def test_a_checkpoint_is_evaluated_pruned_too(cli, sparse, tmp_path):
    network = lilnetx.load_model(sparse / "named.lnx")
    torch.save(network.state_dict(), tmp_path / "plain.pt")
    done = cli("evaluate", tmp_path / "plain.pt", "--model", "resnet20", "--model-arg",
               "channels=1", "--model-arg", "classes=10", "--dataset", "digits",
               "--pruned", "--no-latency", "--json")  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads(done.out)["pruned"]["removed_channels"] == 168
