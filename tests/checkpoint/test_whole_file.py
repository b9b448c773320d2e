"""Every byte of a checkpoint is for something, and the network in it is found."""

import zipfile

import pytest
import torch
from safetensors.torch import save_file

from lilnetx_cli.checkpoint import read_source
from lilnetx_cli.checkpoint.entries import cover
from lilnetx_cli.checkpoint.whole_file import read_whole

W = torch.arange(600.0).reshape(20, 30)


def state():
    return {"a.weight": W.clone(), "a.bias": torch.arange(20.0)}


def optimizer():
    return {"state": {0: {"exp_avg": W + 1}}, "param_groups": [{"lr": 0.1}]}


def saved(content, path, **options):
    torch.save(content, path, **options)
    return read_whole(path)


def test_the_parts_are_the_file(tmp_path):
    content = {"model": state(), "optimizer": optimizer(), "epoch": 3}
    whole = saved(content, tmp_path / "m.pt")
    assert whole.kind == "torch"
    assert whole.tensor_bytes == 2 * 2400 + 80
    assert whole.unused_bytes == 0
    assert 100 < whole.pickle_bytes < 1000
    assert 500 < whole.container_bytes < 3000
    assert [e.name for e in whole.entries] == [
        "model.a.weight", "model.a.bias", "optimizer.state.0.exp_avg",
    ]  # fmt: skip
    assert [e.optimizer for e in whole.entries] == [False, False, True]


def test_other_containers(tmp_path):
    whole = saved(state(), tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    assert (whole.kind, whole.tensor_bytes, whole.pickle_bytes) == (
        "torch_legacy", 2480, 0,
    )  # fmt: skip
    save_file(state(), tmp_path / "m.safetensors", {"format": "pt"})
    whole = read_whole(tmp_path / "m.safetensors")
    assert (whole.kind, whole.tensor_bytes) == ("safetensors", 2480)
    assert whole.container_bytes == 8
    assert whole.pickle_bytes == whole.file_bytes - 2480 - 8


def test_a_zip_that_compresses_has_less_than_nothing_left(tmp_path):
    torch.save({"w": torch.zeros(9000)}, tmp_path / "m.pt")
    with (
        zipfile.ZipFile(tmp_path / "m.pt") as stored,
        zipfile.ZipFile(tmp_path / "d.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for info in stored.infolist():
            packed.writestr(info.filename, stored.read(info.filename))
    whole = read_whole(tmp_path / "d.pt")
    assert whole.tensor_bytes == 36_000
    assert whole.file_bytes < 3000
    assert whole.container_bytes < -33_000


def test_memory_counts_once_and_whole(tmp_path):
    content = {"tied": W, "again": W, "part": torch.arange(1000.0)[:10],
               "row": W[3], "none": W[:0]}  # fmt: skip
    whole = saved(content, tmp_path / "m.pt")
    assert [e.stored_bytes for e in whole.entries] == [2400, 0, 40, 0, 0]
    assert [e.shares for e in whole.entries] == [None, "tied", None, None, None]
    assert (whole.tensor_bytes, whole.unused_bytes) == (2440, 3960)


def test_spans_are_joined():
    spans = []
    assert cover(spans, 10, 20) == 10
    assert cover(spans, 30, 40) == 10
    assert cover(spans, 15, 35) == 10
    assert cover(spans, 0, 5) == 5
    assert cover(spans, 12, 18) == 0
    assert spans == [(0, 5), (10, 40)]


def test_what_refers_to_itself_ends(tmp_path):
    content = state()
    content["self"] = content
    content["list"] = [content, [torch.zeros(3)]]
    whole = saved(content, tmp_path / "m.pt")
    assert [e.name for e in whole.entries] == ["a.weight", "a.bias", "list.1.0"]


def test_odd_layouts_are_named(tmp_path):
    content = {"sparse": W.to_sparse(), "meta": torch.zeros(3, device="meta")}
    whole = saved(content, tmp_path / "m.pt")
    assert [e.dense for e in whole.entries] == [False, False]


def test_views_that_repeat_are_seen(tmp_path):
    whole = saved({"w": torch.zeros(1).expand(1 << 40)}, tmp_path / "m.pt")
    assert whole.repeats
    assert not saved({"w": torch.zeros(1).expand(1 << 10)}, tmp_path / "m.pt").repeats


@pytest.mark.parametrize(
    ("content", "network", "key"),
    [
        (state(), (), None),
        ({"state_dict": state(), "model": state()}, ("state_dict",), None),
        ({"epoch": 1, "net": state(), "optimizer": optimizer()}, ("net",), None),
        ({"best": torch.tensor(71.3), "weights": state()}, ("weights",), "weights"),
        ({"ema": {"net": state()}, "opt": optimizer()}, ("ema", "net"), "ema.net"),
        ({"optimizer": optimizer()}, None, None),
        ({"a.b": state()}, None, None),
        (state() | {"list": [W]}, (), None),
        (state() | {0: state(), "sub": {"w": W}}, ("sub",), "sub"),
        ({"model": [W], "net": state()}, ("net",), None),
        ([state()], None, None),
        (W, None, None),
        ({"lilnetx_resume": 1, "model": state()}, None, None),
    ],
)
def test_the_network_is_found(tmp_path, content, network, key):
    whole = saved(content, tmp_path / "m.pt")
    assert (whole.network, whole.key) == (network, key)
    if network is not None:  # and compress finds the same
        found = read_source(tmp_path / "m.pt", key=key).checkpoint.state_dict
        assert list(found) == [entry.keys[-1] for entry in whole.of_network()]
