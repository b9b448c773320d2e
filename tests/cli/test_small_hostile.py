"""Files that say of a pruned network what cannot be: one line, code 3."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import lilnetx_cli as lilnetx
import lnx
from lilnetx_cli.cli.loading import load_network, load_pruned
from lilnetx_cli.cli.pruned_file import contents
from lilnetx_cli.errors import UsageError
from lilnetx_cli.models import build
from lilnetx_cli.nn.cuts import Cuts, cuts_of, places_of
from tests.pruning.deadening import kill_filters

RECORDS = {
    "a number": 5,
    "a list": [],
    "an unknown entry": {"channels": {}},
    "no table": {"groups": 3},
    "a layer that is not there": {"groups": {"nowhere": 1}},
    "groups of none": {"groups": {"layer1.0.conv1": 0}},
    "more groups than there are": {"groups": {"layer1.0.conv1": 2}},
    "padding that grows": {"padding": {"layer2.0.pad": [9, 8]}},
    "padding without end": {"padding": {"layer2.0.pad": [10**9, 8]}},
    "padding below zero": {"padding": {"layer2.0.pad": [-1, 8]}},
    "padding that is not a number": {"padding": {"layer2.0.pad": [True, 8]}},
    "padding of three": {"padding": {"layer2.0.pad": [1, 1, 1]}},
    "padding of a convolution": {"padding": {"conv1": [1, 1]}},
    "a norm of another kind": {"features": {"bn1": 4}},
    "kept places of a stored tensor": {"kept": {"conv1.weight": [[0, "ffff"]]}},
    "a dimension twice": {"kept": {"x": [[0, "ff"], [0, "ff"]]}},
    "a dimension below zero": {"kept": {"x": [[-1, "ff"]]}},
    "no digits": {"kept": {"x": [[0, 255]]}},
    "very many": {"groups": {f"layer{i}": 1 for i in range(70_000)}},
    "padding that does not fit": {"padding": {"layer2.0.pad": [7, 7]}},
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The container of a ResNet-20 of the digits that was pruned."""
    path = tmp_path_factory.mktemp("small") / "dense.lnx"
    torch.manual_seed(0)
    network = kill_filters(
        build("resnet20", {"channels": 1, "classes": 10}), gated=True
    )
    record = {"name": "resnet20", "args": {"channels": 1, "classes": 10}, "size": 8}
    lilnetx.save(network.eval(), path, architecture=record)
    loaded = load_network(path, None, {})
    return contents(load_pruned(path, loaded, None, 1), loaded, None, named=False)


def refused(here, container, folder):
    lnx.save(container, folder / "bad.lnx")
    done = here("decompress", folder / "bad.lnx", "-o", folder / "out.pt2")
    assert not (folder / "out.pt2").exists()
    assert done.code == 3
    return done.message


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_records_that_cannot_be(here, small, tmp_path, record):
    architecture = {**small.architecture, "pruned": record}
    refused(here, replace(small, architecture=architecture), tmp_path)


@pytest.mark.parametrize("width", [512, 65_536])
def test_a_network_without_end(here, small, tmp_path, width):
    arguments = {**small.architecture["args"], "width": width}
    architecture = {**small.architecture, "args": arguments}
    refused(here, replace(small, architecture=architecture), tmp_path)


def changed(container, name, shape):
    """Give a tensor another shape."""
    data = np.zeros(4 * int(np.prod(shape)), np.uint8)
    return replace(
        container,
        tensors=tuple(
            lnx.Exact(name, lnx.DType.F32, shape, data) if t.name == name else t
            for t in container.tensors
        ),
    )


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("conv1.weight", (17, 1, 3, 3), "was not pruned from the network, which has"),
        ("conv1.weight", (9, 3, 3), "was not pruned from the network, which has"),
        ("conv1.weight", (0, 1, 3, 3), "was not pruned from the network, which has"),
        ("layer1.0.conv1.weight", (1, 1, 3, 3), "layers do not fit each other"),
        ("layer1.0.bn1.weight", (1,), "layers do not fit each other"),
    ],
)
def test_shapes_that_cannot_be(here, small, tmp_path, name, shape, message):
    assert message in refused(here, changed(small, name, shape), tmp_path)


def test_tensors_that_are_missing_or_new(here, small, tmp_path):
    fewer = replace(small, tensors=small.tensors[1:])
    assert "which is not in the file" in refused(here, fewer, tmp_path)
    new = lnx.Exact("conv9.value", lnx.DType.F32, (1,), np.zeros(4, np.uint8))
    more = replace(small, tensors=(*small.tensors, new))
    assert "no 'conv9.value', which is in" in refused(here, more, tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "5", '{"architecture": 5}'])
def test_metadata_that_cannot_be(here, tmp_path, text):
    from safetensors.torch import save_file

    path = tmp_path / "bad.safetensors"
    save_file({"x": torch.zeros(3)}, path, {"format": "pt", "lilnetx": text})
    done = here("compress", path, "-o", tmp_path / "out.lnx")
    assert done.code == 3
    assert "in its metadata" in done.message


@pytest.mark.parametrize(
    ("bits", "size"), [("ff", 7), ("00", 8), ("ff", 9), ("f", 4), ("zz", 8), ("", 8)]
)
def test_places_that_cannot_be(bits, size):
    with pytest.raises(ValueError, match="places"):
        places_of(bits, size)


def test_cuts_come_back_from_their_record():
    cuts = Cuts({"a": 2}, {"b": 3}, {"c": (0, 4)}, {"d": {0: "f0", 1: "80"}})
    assert cuts_of(cuts.record()) == cuts
    assert Cuts().record() == {}
    later = Cuts({"a": 1}, {}, {"e": (1, 1)}, {"d": {0: "50"}})
    both = cuts.then(later)
    assert both.groups == {"a": 1}
    assert both.padding == {"c": (0, 4), "e": (1, 1)}
    assert both.kept == {"d": {0: "50", 1: "80"}}


def test_another_network_of_the_users_stays_as_it_is(small, tmp_path):
    lnx.save(small, tmp_path / "small.lnx")
    other = nn.Linear(3, 4)
    with pytest.raises(UsageError, match="was not pruned from the network"):
        lilnetx.load_model(tmp_path / "small.lnx", model=other)
    assert other.weight.shape == (4, 3)
