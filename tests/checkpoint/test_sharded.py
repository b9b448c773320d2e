"""Networks in several files: what an index may say, and what it may not."""

import builtins
import io
import json
import os
import struct
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lilnetx_cli.checkpoint import read_source
from lilnetx_cli.errors import FileError, InputError, UsageError

ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
STATE = {
    "a.weight": torch.arange(12.0).reshape(3, 4),
    "b.weight": torch.arange(6).reshape(2, 3).to(torch.bfloat16),
    "c.bias": torch.tensor([1, 2, 3]),
}
PLACES = {"a.weight": ONE, "b.weight": TWO, "c.bias": TWO}


def write_index(folder, places, name=INDEX):
    (folder / name).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder / name


@pytest.fixture
def folder(tmp_path):
    """A folder of two shards and their index."""
    folder = tmp_path / "net"
    folder.mkdir()
    for shard in (ONE, TWO):
        part = {name: STATE[name] for name, place in PLACES.items() if place == shard}
        save_file(part, folder / shard, {"format": "pt", "shard": shard})
    write_index(folder, PLACES)
    return folder


def assert_complete(state):
    assert set(state) == set(STATE)
    for name, tensor in STATE.items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)


@pytest.mark.parametrize("named", [".", INDEX])
def test_all_shards_are_read(folder, named):
    source = read_source(folder / named)
    assert_complete(source.checkpoint.state_dict)
    assert [path.name for path in source.files] == [INDEX, ONE, TWO]
    assert source.notes == ()


def test_metadata_is_kept_where_all_shards_agree(folder):
    assert read_source(folder).checkpoint.metadata == {"format": "pt"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists what is mapped")
def test_tensors_stay_in_their_files(folder):
    """Mapped, and so not in memory until they are needed."""
    big = {"a.weight": torch.zeros(1 << 20)}
    save_file(big, folder / ONE)
    state = read_source(folder).checkpoint.state_dict
    address = state["a.weight"].data_ptr()
    maps = Path("/proc/self/maps").read_text().splitlines()
    ranges = [line.split()[0] for line in maps if ONE in line]
    bounds = [[int(end, 16) for end in part.split("-")] for part in ranges]
    assert any(start <= address < stop for start, stop in bounds)


@pytest.mark.parametrize("bits", ["pytorch_model.bin", "pytorch_model-{}.bin"])
def test_shards_of_torch(tmp_path, bits):
    names = [bits.format(1), bits.format(2)] if "{" in bits else [bits]
    for shard, part in zip(names, (["a.weight"], ["b.weight", "c.bias"]), strict=False):
        chosen = part if len(names) > 1 else list(STATE)
        torch.save({name: STATE[name] for name in chosen}, tmp_path / shard)
    if len(names) > 1:
        places = {"a.weight": names[0], "b.weight": names[1], "c.bias": names[1]}
        write_index(tmp_path, places, "pytorch_model.bin.index.json")
    assert_complete(read_source(tmp_path).checkpoint.state_dict)


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "diffusion_pytorch_model.safetensors", "unusual.safetensors"],
)
def test_a_folder_with_one_file(tmp_path, name):
    save_file(STATE, tmp_path / name)
    source = read_source(tmp_path)
    assert_complete(source.checkpoint.state_dict)
    assert source.files == (tmp_path / name,)


def test_what_was_used_of_several_is_said(folder):
    torch.save({"other": torch.zeros(2)}, folder / "pytorch_model.bin")
    source = read_source(folder)
    assert_complete(source.checkpoint.state_dict)
    assert source.notes == (f"used {INDEX}, not pytorch_model.bin",)


def test_prefixes_are_taken_off_all_shards(folder):
    for shard in (ONE, TWO):
        part = {
            f"module.{n}": STATE[n] for n, place in PLACES.items() if place == shard
        }
        save_file(part, folder / shard)
    write_index(folder, {f"module.{name}": place for name, place in PLACES.items()})
    assert_complete(read_source(folder).checkpoint.state_dict)


def test_links_are_followed(folder, tmp_path):
    """As they stand in the cache of huggingface_hub."""
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for file in folder.iterdir():
        (snapshot / file.name).symlink_to(file)
    assert_complete(read_source(snapshot).checkpoint.state_dict)


def test_a_folder_without_a_network_says_what_is_missing(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"neither an index \(model\.safetensors\.ind"):
        read_source(tmp_path)


def test_shards_without_an_index_say_what_is_missing(folder):
    (folder / INDEX).unlink()
    with pytest.raises(InputError, match=r"no index \(model\.safetensors\.index\.json"):
        read_source(folder)


def test_a_pipe_in_a_folder_is_no_network(tmp_path):
    os.mkfifo(tmp_path / INDEX)
    os.mkfifo(tmp_path / "model.pt")
    with pytest.raises(InputError, match="holds no network"):
        read_source(tmp_path)


def test_a_missing_shard_is_named(folder):
    (folder / TWO).unlink()
    with pytest.raises(InputError, match=rf"1 of 2 shards of .* not found: '{TWO}'"):
        read_source(folder)


@pytest.fixture
def opened(monkeypatch):
    """The files that Python opens from now on."""
    paths = []

    def follow(real):
        def spy(file, *rest, **named):
            paths.append(os.fspath(file) if not isinstance(file, int) else "")
            return real(file, *rest, **named)

        return spy

    monkeypatch.setattr(builtins, "open", follow(builtins.open))
    monkeypatch.setattr(io, "open", follow(io.open))
    return paths


@pytest.mark.parametrize(
    "way",
    ["../secret.safetensors", "{outside}/secret.safetensors", "..", "", ".",
     "x/../../secret.safetensors", "..\\secret.safetensors", "C:secret.safetensors",
     "a\0.safetensors", 7, None, ["x"]],
)  # fmt: skip
def test_no_file_of_another_folder_is_opened(folder, opened, way):
    save_file(STATE, folder.parent / "secret.safetensors")
    way = way.format(outside=folder.parent) if isinstance(way, str) else way
    write_index(folder, {**PLACES, "a.weight": way})
    opened.clear()
    with pytest.raises(FileError, match="expected a file in its own folder"):
        read_source(folder)
    assert opened
    assert not [path for path in opened if "secret" in path or ".index" not in path]


BROKEN = [
    (b"not JSON", "is not a shard index: index is not JSON"),
    (b"", "is not a shard index: index is not JSON"),
    (b"\xff\xfe", "is not a shard index"),
    (b"[" * 100_000, "is not a shard index"),
    (b'{"weight_map": {"a": "' + ONE.encode() + b'", "a": "x"}}', "appears twice"),
    (b"[]", "no 'weight_map'"),
    (b"{}", "no 'weight_map'"),
    (b'{"weight_map": {}}', "no 'weight_map'"),
    (b'{"weight_map": ["a"]}', "no 'weight_map'"),
    (b'{"weight_map": {"a": "model.pt"}}', "ends in .safetensors"),
]


@pytest.mark.parametrize(("data", "message"), BROKEN)
def test_what_is_no_index_is_refused(folder, data, message):
    (folder / INDEX).write_bytes(data)
    with pytest.raises(FileError, match=message):
        read_source(folder)


def test_an_index_of_100_mb_is_not_read(folder, opened):
    with (folder / INDEX).open("wb") as file:
        file.truncate(100_000_000)
    opened.clear()
    with pytest.raises(FileError, match="takes 100,000,000 bytes, expected at most"):
        read_source(folder)
    assert not opened


def test_a_tensor_that_its_shard_has_not(folder):
    write_index(folder, {**PLACES, "b.weight": ONE})
    with pytest.raises(FileError, match=r"no tensor 'b\.weight', which"):
        read_source(folder)


def test_a_tensor_in_two_shards(folder):
    save_file(STATE, folder / TWO)
    with pytest.raises(FileError, match=r"'a\.weight' is in two shards"):
        read_source(folder)


def test_a_tensor_twice_in_one_shard(folder):
    entry = '"a.weight":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}'
    header = f"{{{entry},{entry}}}".encode()
    data = struct.pack("<Q", len(header)) + header + bytes(4)
    (folder / ONE).write_bytes(data)
    with pytest.raises(FileError, match=r"names 'a\.weight' twice"):
        read_source(folder)


def test_a_damaged_shard_is_named(folder):
    data = (folder / TWO).read_bytes()
    (folder / TWO).write_bytes(data[:-1])
    with pytest.raises(FileError, match=rf"{TWO}' is not a valid safetensors file"):
        read_source(folder)


def test_a_shard_that_never_ends_is_not_opened(folder):
    (folder / TWO).unlink()
    os.mkfifo(folder / TWO)
    with pytest.raises(FileError, match="not a regular file"):
        read_source(folder)


def test_a_key_is_for_nested_checkpoints(folder):
    with pytest.raises(UsageError, match="leave out --key"):
        read_source(folder, key="model")


def test_many_missing_tensors_are_one_short_line(folder):
    places = {**PLACES, **{f"x{n}": ONE for n in range(1000)}}
    write_index(folder, places)
    with pytest.raises(FileError, match="and 997 more") as found:
        read_source(folder)
    assert len(str(found.value)) < 400
