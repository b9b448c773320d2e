"""A file fills a network as a whole and exactly, or not at all."""

import math
import os
from pathlib import Path

import pytest
import torch
from torch import nn

import lilnetx_cli as lilnetx
import lnx
from lilnetx_cli.checkpoint import Checkpoint, pack
from lilnetx_cli.cli.loading import load_network
from lilnetx_cli.errors import UsageError
from lilnetx_cli.models import build, describe, fill

FORM = {"channels": 1, "classes": 2}


def network(dtype=torch.float32):
    """Return a network with parameters of one type, an integer and a bool buffer."""
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2)).to(dtype)
    model.register_buffer("mask", torch.tensor([True, False]))
    return model


def write(path, state, architecture=None):
    lnx.save(pack(Checkpoint(state, architecture=architecture)), path)
    return path


def copied(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def bits(state):
    return {
        name: tensor.reshape(-1).contiguous().view(torch.uint8).tolist()
        for name, tensor in state.items()
    }


THIRDS = torch.tensor([1.0, 1 / 3], dtype=torch.float64)
HUGE = torch.tensor([1e300, 0.0], dtype=torch.float64)
COMPLEX = torch.zeros(2, dtype=torch.complex64)
ODD = {
    "0.bias": [
        (THIRDS, "'0.bias' is float64, expected float32"),
        (
            COMPLEX,
            "'0.bias' is complex64, expected float32",
        ),
        (torch.tensor([True, False]), "'0.bias' is bool, expected float32"),
        (torch.ones(2, dtype=torch.int64), "'0.bias' is int64, expected float32"),
        (HUGE, "'0.bias' is float64, expected float32"),
        (torch.ones(2).to(torch.float8_e5m2), "is float8_e5m2, expected float32"),
    ],
    "mask": [
        (torch.ones(2), "'mask' is float32, expected bool"),
        (torch.ones(2, dtype=torch.uint8), "'mask' is uint8, expected bool"),
    ],
    "1.num_batches_tracked": [
        (torch.tensor(3.0), "'1.num_batches_tracked' is float32, expected int64"),
        (torch.tensor(3, dtype=torch.uint64), "is uint64, expected int64"),
    ],
}


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [(name, *case) for name, cases in ODD.items() for case in cases],
)
def test_types_that_do_not_fit_are_refused_by_name(tmp_path, name, tensor, message):
    path = write(tmp_path / "m.lnx", {**network().state_dict(), name: tensor})
    model = network()
    before = bits(model.state_dict())
    with pytest.raises(UsageError, match=message) as caught:
        lilnetx.load_model(path, model=model)
    assert "model.float()" in str(caught.value)
    assert "m.lnx" in str(caught.value)
    assert bits(model.state_dict()) == before


NUMBERS = [1.0, -0.0, math.inf, math.nan, 2.0**-14, -65504.0]


@pytest.mark.parametrize(
    ("found", "expected", "values"),
    [
        (torch.float16, torch.float32, NUMBERS),
        (torch.bfloat16, torch.float32, NUMBERS[:5]),
        (torch.float32, torch.float64, [1 / 3, *NUMBERS]),
        (torch.float64, torch.float32, NUMBERS),
        (torch.float32, torch.float16, NUMBERS),
        (torch.float16, torch.bfloat16, NUMBERS[:5]),
        (torch.uint8, torch.int64, [0, 255]),
        (torch.uint16, torch.int64, [0, 65535]),
        (torch.int8, torch.int32, [-128, 127]),
    ],
)
def test_types_that_hold_every_value_are_converted(found, expected, values):
    model = nn.Module()
    model.register_buffer("x", torch.zeros(len(values), dtype=expected))
    fill(model, {"x": torch.tensor(values, dtype=torch.float64).to(found)}, "m.lnx")
    assert model.x.dtype == expected
    given = torch.tensor(values, dtype=torch.float64).to(found).double()
    assert torch.equal(model.x.double().nan_to_num(7.0), given.nan_to_num(7.0))
    assert torch.equal(model.x.double().signbit(), given.signbit())


@pytest.mark.parametrize(
    ("found", "expected", "value"),
    [
        (torch.float32, torch.float16, 65520.0),
        (torch.float32, torch.bfloat16, 1 + 2**-8),
        (torch.float16, torch.bfloat16, 1 + 2**-10),
        (torch.float64, torch.float32, 2.0**-150),
        (torch.int64, torch.int32, 1),
        (torch.uint8, torch.int8, 1),
    ],
)
def test_types_that_could_lose_a_value_are_not(found, expected, value):
    model = nn.Module()
    model.register_buffer("x", torch.zeros(1, dtype=expected))
    with pytest.raises(UsageError, match="'x' is"):
        fill(model, {"x": torch.tensor([value], dtype=found)}, "m.lnx")
    assert model.x.item() == 0


@pytest.mark.parametrize("suffix", [".lnx", ".pt"])
def test_every_way_to_a_network_looks_at_types(tmp_path, suffix):
    record = describe("resnet20", FORM)
    state = copied(build("resnet20", FORM))
    path = tmp_path / f"m{suffix}"

    def read(tensor):
        given = {**state, "fc.bias": tensor}
        if suffix == ".pt":
            torch.save(given, path)
            return load_network(path, "resnet20", FORM).network
        write(path, given, record)
        return load_network(path, None, {}).network

    for tensor in (THIRDS, COMPLEX):
        with pytest.raises(UsageError, match=r"'fc\.bias' is (float64|complex64), exp"):
            read(tensor)
        if suffix == ".lnx":
            with pytest.raises(UsageError, match=r"'fc\.bias' is"):
                lilnetx.load_model(path)
    assert read(torch.tensor([0.5, 2.0]).half()).fc.bias.tolist() == [0.5, 2.0]
    types = {x.dtype for x in read(torch.zeros(2).bfloat16()).parameters()}
    assert types == {torch.float32}


def spoiled(state, kind):
    """Return a state dict with faults late in it, so that a copy would have begun."""
    if kind == "missing":
        return {name: x for name, x in state.items() if not name.startswith("2.")}
    if kind == "unknown":
        return {**state, **{f"more.{i}": torch.zeros(1) for i in range(5)}}
    if kind == "shape":
        return {**state, "2.weight": torch.zeros(2, 4), "2.bias": torch.zeros(7)}
    many = {name: x.to(torch.complex64) for name, x in state.items()}
    return {**many, "0.weight": state["0.weight"]}


@pytest.mark.parametrize(
    ("kind", "named", "message"),
    [
        ("missing", 2, "'2.weight' is missing"),
        ("unknown", 3, "'more.0' is not part of it"),
        ("shape", 2, "'2.weight' has shape (2, 4), expected (2, 2)"),
        ("type", 3, "'0.bias' is complex64, expected float32"),
    ],
)
def test_a_network_that_does_not_fit_stays_as_it_was(tmp_path, kind, named, message):
    state = {k: x.clone().fill_(1) for k, x in network().state_dict().items()}
    path = write(tmp_path / "m.lnx", spoiled(state, kind))
    model = network()
    before = bits(model.state_dict())
    with pytest.raises(UsageError, match="does not fit the network") as caught:
        lilnetx.load_model(path, model=model)
    text = str(caught.value)
    assert message in text
    assert text.count(" is ") + text.count(" has shape ") == named
    assert ("more:" in text) == (named == 3)
    assert bits(model.state_dict()) == before
    assert model.training


def test_names_from_a_file_are_escaped_and_cut(tmp_path):
    state = {"a\x1b[31m\nb": torch.zeros(1), "c" * 1_000: torch.zeros(1)}
    path = write(tmp_path / "m.lnx", state)
    with pytest.raises(UsageError) as caught:
        lilnetx.load_model(path, model=nn.Sequential())
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600 + len(str(path))


class Pathish:
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


@pytest.mark.parametrize("kind", [str, Path, Pathish])
def test_paths_of_all_kinds(tmp_path, kind):
    model = network(torch.float16)
    path = kind(tmp_path / "m.lnx")
    assert lilnetx.save(model, path) == os.stat(path).st_size  # noqa: PTH116
    again = lilnetx.load_model(path, model=network(torch.float16).train())
    assert not again.training
    assert bits(again.state_dict()) == bits(model.state_dict())
    assert bits(lilnetx.load(path)) == bits(model.state_dict())
    with pytest.raises(UsageError, match=r"'.*m\.lnx' does not say which network"):
        lilnetx.load_model(path)


@pytest.mark.parametrize("name", ["m.pt", "m.PTH", "m.safetensors", "m.onnx"])
def test_names_of_other_formats_are_not_given_to_a_file(tmp_path, name):
    for write in (lilnetx.save, lilnetx.compress):
        with pytest.raises(UsageError, match=f"{write.__name__} writes .lnx files; "):
            write(network(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_layers_without_a_shape_yet_take_that_of_the_file():
    model = nn.Sequential(nn.LazyLinear(2))
    state = {"0.weight": torch.ones(2, 5), "0.bias": torch.zeros(2)}
    fill(model, state, "m.lnx")
    assert model(torch.ones(1, 5)).tolist() == [[5.0, 5.0]]


def test_batch_norms_of_old_checkpoints_need_no_count(tmp_path):
    state = {
        name: tensor
        for name, tensor in build("resnet20", FORM).state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    path = write(tmp_path / "m.lnx", state, describe("resnet20", FORM))
    loaded = lilnetx.load_model(path).state_dict()
    assert bits({name: loaded[name] for name in state}) == bits(state)


class Cached(nn.Module):
    """A layer that computes with its weight once that is loaded."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.twice = None
        self.register_load_state_dict_post_hook(self._cache)

    @staticmethod
    def _cache(module, _keys):
        module.twice = 2 * module.weight.detach()


def test_hooks_after_loading_see_the_loaded_weights():
    model = Cached()
    fill(model, {"weight": torch.tensor([1.0, 2.0])}, "m.lnx")
    assert model.twice.tolist() == [2.0, 4.0]


def test_weights_that_cannot_be_written_are_named():
    model = nn.Linear(2, 2, bias=False)
    model.weight = nn.Parameter(torch.zeros(1).expand(2, 2))
    with pytest.raises(UsageError, match=r"m\.lnx.*cannot fill"):
        fill(model, {"weight": torch.ones(2, 2)}, "m.lnx")


def test_all_names_are_offered():
    assert {"load_model", "prune", "save", "__version__"} <= {*dir(lilnetx)}
