"""State dicts on disk: opened again before they replace anything."""

import errno
import io
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

import lnx
from lilnetx_cli.__main__ import run
from lilnetx_cli.checkpoint import pack, read_source
from lilnetx_cli.checkpoint.convert import TO_TORCH
from lilnetx_cli.errors import LilnetxError
from lilnetx_cli.export.state_dict import (
    NAMES,
    _save,
    write_safetensors,
    write_state_dict,
)
from lnx.dtypes import NUMPY_NAMES
from tests.format.making import exact

WRITERS = {".safetensors": write_safetensors, ".pt": write_state_dict}


def decoded(name="x", dtype=lnx.DType.F32):
    return lnx.Decoded(name, dtype, np.zeros(3, NUMPY_NAMES[dtype]))


def written_metadata(path):
    with safetensors.safe_open(path, "numpy") as file:
        return file.metadata()


@pytest.mark.parametrize("suffix", sorted(WRITERS))
@pytest.mark.parametrize("dtype", sorted(set(NAMES) & set(TO_TORCH)))
def test_every_type_comes_back(tmp_path, suffix, dtype):
    path = tmp_path / f"x{suffix}"
    WRITERS[suffix]([decoded(dtype=dtype)], path)
    assert list(read_source(path).checkpoint.state_dict) == ["x"]


def test_the_name_that_safetensors_keeps_for_itself(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(LilnetxError, match="'__metadata__' cannot be written"):
        write_safetensors([decoded("__metadata__")], path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    write_state_dict([decoded("__metadata__")], tmp_path / "x.pt")
    state = torch.load(tmp_path / "x.pt", weights_only=True)
    assert list(state) == ["__metadata__"]


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_what_does_not_come_back_is_not_written(tmp_path, monkeypatch, suffix):
    """A library that leaves a tensor out, without a word."""
    serialize, save = safetensors.serialize_file, torch.save

    def loses_one(specs, path, metadata):
        serialize(dict(list(specs.items())[1:]), path, metadata)

    def loses_one_too(state, file):
        save(dict(list(state.items())[1:]), file)

    monkeypatch.setattr(safetensors, "serialize_file", loses_one)
    monkeypatch.setattr(torch, "save", loses_one_too)
    path = tmp_path / f"x{suffix}"
    with pytest.raises(LilnetxError, match="is not written: reading it back fails"):
        WRITERS[suffix]([decoded("a"), decoded("b")], path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_a_file_that_is_damaged_while_it_is_written(tmp_path, monkeypatch, suffix):
    def damages(_, file, *__):
        if isinstance(file, str):
            Path(file).write_bytes(b"no such file")
        else:
            file.write(b"no such file")

    monkeypatch.setattr(safetensors, "serialize_file", damages)
    monkeypatch.setattr(torch, "save", damages)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(LilnetxError, match=r"x\.\w+' (is not|cannot be) written"):
        WRITERS[suffix]([decoded()], path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "metadata", [{"note": "ü\n", "format": "tf", "license": "MIT"}, {"format": "pt"}]
)
def test_metadata_of_a_safetensors_file_comes_back(tmp_path, metadata):
    source, packed = tmp_path / "a.safetensors", tmp_path / "a.lnx"
    write_safetensors([decoded()], source, metadata)
    assert run(["compress", str(source), "-q"]) == 0
    assert lnx.summary(packed).metadata == metadata
    assert lnx.load(packed).metadata == metadata
    back = tmp_path / "b.safetensors"
    assert run(["decompress", str(packed), "-o", str(back), "-q"]) == 0
    assert written_metadata(back) == metadata
    assert run(["compress", str(packed), "-o", str(tmp_path / "c.lnx"), "-q"]) == 0
    assert lnx.load(tmp_path / "c.lnx").metadata == metadata


def test_without_metadata_the_file_says_what_torch_writes(tmp_path):
    torch.save({"x": torch.zeros(3)}, tmp_path / "a.pt")
    container = pack(read_source(tmp_path / "a.pt").checkpoint)
    assert container.metadata is None
    lnx.save(container, tmp_path / "a.lnx")
    assert run(["decompress", str(tmp_path / "a.lnx"), "-q"]) == 0
    assert written_metadata(tmp_path / "a.safetensors") == {"format": "pt"}


def tied_file(path, aliases):
    """A file of a few hundred bytes: one tensor of 64 kB and more names of it."""
    first = exact("a", np.zeros(16_000, "<f4"), lnx.DType.F32)
    others = tuple(lnx.Alias(f"a{i}", "a") for i in range(aliases))
    lnx.save(lnx.Container((first, *others)), path)


def test_aliases_that_become_copies_count_against_the_budget(tmp_path, capsys):
    path = tmp_path / "a.lnx"
    tied_file(path, 100)
    assert path.stat().st_size < 1000
    command = ["decompress", str(path), "--max-size", "2MB", "--json", "-o"]
    assert run([*command, str(tmp_path / "b.safetensors")]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert "decoded size is 6464000 bytes, the limit is 2000000" in error["message"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.lnx"]
    assert run([*command, str(tmp_path / "b.pt")]) == 0  # where they stay tied
    assert (tmp_path / "b.pt").stat().st_size < 2_000_000
    with pytest.raises(lnx.LimitError):
        lnx.decode(path, max_size=6_463_999, copies=True)
    assert len(lnx.decode(path, max_size=6_464_000, copies=True)) == 101
    assert len(lnx.decode(path, max_size=64_000)) == 101


@pytest.mark.parametrize("verb", ["compress", "decompress"])
def test_an_output_that_appears_in_the_meantime_stays(
    tmp_path, capsys, monkeypatch, verb
):
    """Another process writes the file after it was checked and before it is there."""
    tied_file(tmp_path / "a.lnx", 1)
    target = tmp_path / {"compress": "b.lnx", "decompress": "b.safetensors"}[verb]
    read = {"compress": "load", "decompress": "decode"}[verb]
    own = getattr(lnx, read)

    def slow(*arguments, **options):
        target.write_bytes(b"of another process")
        return own(*arguments, **options)

    monkeypatch.setattr(lnx, read, slow)
    command = [verb, str(tmp_path / "a.lnx"), "-o", str(target), "-q"]
    assert run(command) == 2
    assert "exists: overwrite it with -f" in capsys.readouterr().err
    assert target.read_bytes() == b"of another process"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.lnx", target.name]
    target.unlink()
    assert run([*command, "-f"]) == 0
    assert target.read_bytes() != b"of another process"


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_writers_replace_only_what_they_may(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        WRITERS[suffix]([decoded()], path, replace=False)
    assert path.read_bytes() == b"old"
    WRITERS[suffix]([decoded()], path)
    assert path.read_bytes() != b"old"


class Full(io.BytesIO):
    """A file on a disk that has room for some bytes."""

    def __init__(self, room):
        super().__init__()
        self.room = room

    def write(self, data):
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "no space left on device")
        return super().write(data)


@pytest.mark.parametrize("room", [0, 100, 3000, 40_000])
def test_a_full_disk_is_named(room):
    """At whatever place it is full: torch says that a position is unexpected."""
    with pytest.raises(OSError, match="no space left"):
        _save({"w": torch.zeros(100, 100), "v": torch.zeros(9)}, Full(room))
