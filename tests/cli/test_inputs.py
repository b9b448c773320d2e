"""What `compress` reads and writes: folders, several files, standard streams."""

import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save, save_file
from torch import nn

import lilnetx_cli as lilnetx
import lnx
from lilnetx_cli.__main__ import run

INDEX = "model.safetensors.index.json"


def weights(seed=0):
    noise = np.random.default_rng(seed).laplace(size=(40, 30)).astype(np.float32)
    return {"a.weight": torch.from_numpy(noise), "a.bias": torch.arange(40.0)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with one.pt, two.safetensors, bad.pt and plot.png."""
    monkeypatch.chdir(tmp_path)
    torch.save(weights(1), tmp_path / "one.pt")
    save_file(weights(2), tmp_path / "two.safetensors")
    (tmp_path / "bad.pt").write_text("no checkpoint")
    (tmp_path / "plot.png").write_bytes(b"precious")
    return tmp_path


@pytest.fixture
def sharded(folder):
    """A folder net/ of two shards."""
    net = folder / "net"
    net.mkdir()
    places = {}
    for number, (name, tensor) in enumerate(weights().items()):
        places[name] = f"model-{number}.safetensors"
        save_file({name: tensor}, net / places[name], {"format": "pt"})
    (net / INDEX).write_text(json.dumps({"weight_map": places}))
    return net


class Stream(io.TextIOWrapper):
    """A standard stream of bytes."""

    def __init__(self, data=b"", terminal=False):
        super().__init__(io.BytesIO(data), "utf-8")
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.fixture
def piped(monkeypatch):
    """Run a command line with bytes on stdin: its code, its bytes, its talk."""

    def start(*arguments, data=b"", terminal=None):
        out, err = Stream(terminal=terminal == "stdout"), io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", Stream(data, terminal == "stdin"))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = run([str(argument) for argument in arguments])
        return code, out.buffer.getvalue(), err.getvalue()

    return start


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Folders


@pytest.mark.parametrize("named", ["net", "net/", f"net/{INDEX}"])
def test_a_folder_of_shards_is_one_network(here, sharded, named):
    done = here("compress", named, "--lossless", "--json")
    assert done.code == 0, done.err
    target = "net/model.lnx" if named.endswith(".json") else "net.lnx"
    assert done.json["output"] == target
    read = sum(path.stat().st_size for path in sharded.iterdir() if ".saf" in path.name)
    assert done.json["input_bytes"] == read
    assert here("decompress", target, "-o", "back.safetensors").code == 0
    found = load_file("back.safetensors")
    assert all(torch.equal(found[name], value) for name, value in weights().items())
    assert lnx.summary(target).metadata == {"format": "pt"}


def test_the_current_folder_has_a_name(here, sharded, monkeypatch):
    monkeypatch.chdir(sharded)
    assert here("compress", ".", "--json").json["output"] == "net.lnx"


def test_a_folder_with_nothing_in_it_is_one_line(here, folder):
    (folder / "net").mkdir()
    done = here("compress", "net")
    assert done.code == 1
    assert done.message == (
        "lilnetx: folder 'net' holds no network: there is neither an index"
        f" ({INDEX}) nor a model file (model.safetensors)"
    )
    assert not (folder / "net.lnx").exists()


def test_a_file_of_the_input_is_not_overwritten(here, sharded):
    before = files_of(sharded)
    for name in (INDEX, "model-0.safetensors"):
        done = here("compress", "net", "-o", f"net/{name}", "-f")
        assert done.code == 2
        assert "writes .lnx files" in done.message
    assert files_of(sharded) == before


HOSTILE = [
    ('{"weight_map": {"a": "../secret.safetensors"}}', 3, "in its own folder"),
    ('{"weight_map": {"a": "/etc/passwd"}}', 3, "in its own folder"),
    ('{"weight_map": {"a": "none.safetensors"}}', 1, "not found"),
    ('{"weight_map": {"b": "model-0.safetensors"}}', 3, "no tensor 'b'"),
    ("not JSON", 3, "not a shard index"),
]


@pytest.mark.parametrize(("index", "code", "message"), HOSTILE)
def test_a_hostile_index_is_one_line_and_nothing_is_written(
    here, sharded, index, code, message
):
    (sharded / INDEX).write_text(index)
    before = files_of(sharded.parent)
    done = here("compress", "net")
    assert done.code == code
    assert message in done.message
    assert files_of(sharded.parent) == before


# Several files


def test_several_files_go_beside_their_inputs(here, folder):
    done = here("compress", "one.pt", "two.safetensors", "--json")
    assert done.code == 0
    one, two = done.json["files"]
    assert [one["output"], two["output"]] == ["one.lnx", "two.lnx"]
    assert [one["input"], two["input"]] == ["one.pt", "two.safetensors"]
    assert one["output_bytes"] == (folder / "one.lnx").stat().st_size
    alone = here("compress", "one.pt", "-f", "--json").json
    assert "files" not in alone
    assert set(alone) == set(one)


def test_several_files_go_into_a_folder(here, folder):
    (folder / "out").mkdir()
    done = here("compress", "one.pt", "two.safetensors", "-o", "out/")
    assert done.code == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "one.lnx",
        "two.lnx",
    ]
    assert done.err.count("quantized to 40 dB") == 1
    # One that a pattern of the shell leaves is treated as several are.
    assert here("compress", "one.pt", "-o", "out", "-f").code == 0


@pytest.mark.parametrize(
    ("bad", "code", "message"),
    [
        ("bad.pt", 3, "lilnetx: 'bad.pt' is not a PyTorch checkpoint but a text file"),
        ("none.pt", 2, "lilnetx: 'none.pt' does not exist"),
        ("empty", 1, "lilnetx: folder 'empty' holds no network"),
    ],
)
def test_a_bad_file_stops_no_other(here, folder, bad, code, message):
    (folder / "empty").mkdir()
    done = here("compress", "one.pt", bad, "two.safetensors", "--lossless")
    assert done.code == code
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith(message)
    assert done.out.count("lossless: every bit") == 2
    done = here("compress", "one.pt", bad, "two.safetensors", "-f", "--json")
    assert done.code == code
    good, failed, last = done.json["files"]
    assert good["output"] == "one.lnx"
    assert last["output"] == "two.lnx"
    assert failed["input"] == bad
    assert failed["error"] == {"code": code, "message": done.err.strip()[9:]}


def test_a_failure_that_names_no_file_gets_its_name(here, folder):
    save_file({"a": torch.zeros(4)}, folder / "tiny.safetensors")
    done = here("compress", "tiny.safetensors", "one.pt", "--target-size", "180B")
    assert done.code == 2
    assert done.err.startswith("lilnetx: 'one.pt': a file of 180 bytes is out of reach")
    assert (folder / "tiny.lnx").exists()


@pytest.mark.usefixtures("folder")
def test_the_worst_code_counts(here):
    done = here("compress", "none.pt", "bad.pt", "one.pt", "none2.pt")
    assert done.code == 3
    assert len([x for x in done.err.splitlines() if x.startswith("lilnetx:")]) == 3


SEVERAL = [
    (("one.pt", "two.safetensors"), "'two.lnx' exists: overwrite it with -f"),
    (
        ("one.pt", "one.pth"),
        "'one.pt' and 'one.pth' would both be written to 'one.lnx'",
    ),
    (("one.pt", "one.pt"), "input 'one.pt' is named twice"),
    (("one.pt", "bad.pt", "-o", "new.lnx"), "'new.lnx' must be an existing folder"),
    (("one.pt", "two.lnx", "-f"), "output 'two.lnx' is the input"),
    (("two.safetensors", "one.lnx", "two.lnx", "-f", "-o", "."), "both be written"),
    (("two.safetensors", "two.lnx", "-f"), "both be written"),
    (("one.pt", "-"), "standard input (-) cannot be combined"),
    (("one.pt", "bad.pt", "-o", "-"), "-o - takes one input"),
]


@pytest.mark.parametrize(("arguments", "message"), SEVERAL)
def test_what_cannot_be_written_is_said_before_any_work(
    here, folder, arguments, message
):
    (folder / "two.lnx").write_bytes(b"precious")
    torch.save(weights(3), folder / "one.pth")
    before = files_of(folder)
    done = here("compress", *arguments)
    assert done.code == 2
    assert message in done.message
    assert files_of(folder) == before


def test_an_output_that_is_another_input_is_refused(here, folder):
    lnx.save(lnx.Container(()), folder / "two.lnx")
    (folder / "out").mkdir()
    (folder / "out" / "one.lnx").symlink_to(folder / "two.lnx")
    done = here("compress", "one.pt", "two.lnx", "-o", "out", "-f")
    assert done.code == 2
    assert "output 'out/one.lnx' is the input 'two.lnx'" in done.message


# Standard input and output


def kinds():
    """The bytes of a checkpoint in each form."""
    zipped, old = io.BytesIO(), io.BytesIO()
    torch.save(weights(), zipped)
    torch.save(weights(), old, _use_new_zipfile_serialization=False)
    exact = [lnx.Exact(name, lnx.DType.F32, tuple(value.shape),
                       value.numpy().reshape(-1).view(np.uint8))
             for name, value in weights().items()]  # fmt: skip
    return {
        "zip": zipped.getvalue(),
        "old": old.getvalue(),
        "safetensors": save(weights()),
        "lnx": lnx.dumps(lnx.Container(tuple(exact))),
    }


@pytest.mark.parametrize("kind", ["zip", "old", "safetensors", "lnx"])
def test_a_checkpoint_comes_in_and_goes_out_by_pipes(piped, kind):
    code, data, err = piped("compress", "-", "--lossless", data=kinds()[kind])
    assert code == 0, err
    found = {t.name: t for t in lnx.rebuild_all(lnx.loads(data))}
    for name, value in weights().items():
        assert found[name].array.tobytes() == value.numpy().tobytes()
    assert err.startswith("standard output: 5.0 kB dense -> ")
    assert "lossless: every bit is kept" in err


def test_a_pipe_gives_what_a_file_gives(piped, here, folder):
    assert here("compress", "two.safetensors", "--snr", "20").code == 0
    expected = (folder / "two.lnx").read_bytes()
    data = (folder / "two.safetensors").read_bytes()
    assert piped("compress", "-", "--snr", "20", data=data)[1] == expected
    code, out, err = piped("compress", "-", "-o", "x.lnx", "--snr", "20", data=data)
    assert code == 0
    assert (folder / "x.lnx").read_bytes() == expected
    assert out.startswith(b"x.lnx: 5.0 kB dense")
    assert err == ""
    code, out, err = piped(
        "compress", "two.safetensors", "-o", "-", "-q", "--snr", "20"
    )
    assert (code, out, err) == (0, expected, "")


@pytest.mark.usefixtures("folder")
def test_json_of_a_piped_input(piped):
    code, out, _ = piped("compress", "-", "-o", "x.lnx", "--json", data=save(weights()))
    assert code == 0
    record = json.loads(out)
    assert record["input"] == "-"
    assert record["input_bytes"] == len(save(weights()))


def test_the_other_verbs_read_pipes(piped, folder):
    lnx_file = kinds()["lnx"]
    code, out, err = piped("decompress", "-", "-o", "x.safetensors", data=lnx_file)
    assert code == 0, err
    found = load((folder / "x.safetensors").read_bytes())
    assert torch.equal(found["a.weight"], weights()["a.weight"])
    code, out, _ = piped("inspect", "-", data=lnx_file)
    assert code == 0
    assert out.startswith(b"standard input: ")
    code, out, _ = piped("inspect", "-", data=save(weights()))
    assert code == 0
    assert out.startswith(b"standard input: ")
    assert b"\nnext: lilnetx compress - -o model.lnx\n" in out
    code, out, _ = piped("verify", "-", data=lnx_file)
    assert code == 0
    assert out.startswith(b"standard input: ok, 2 tensors")
    damaged = bytearray(lnx_file)
    damaged[-40] ^= 1
    code, out, err = piped("verify", "-", "--json", data=damaged)
    assert code == 3
    assert json.loads(out)["error"]["message"].startswith("standard input: ")


PIPED = [
    (("compress", "-"), b"", None, 3, "standard input is not a PyTorch checkpoint"),
    (("compress", "-"), b"plain", None, 3, "is not a PyTorch checkpoint but a text"),
    (("compress", "-"), b"\x20" + bytes(7) + b"{" + bytes(40), None, 3,
     "standard input is not a valid safetensors file"),
    (("compress", "-"), kinds()["zip"][:-200], None, 3, "is a truncated"),
    (("compress", "-"), kinds()["lnx"][:-9], None, 3, "standard input: file is cut sh"),
    (("compress", "-"), b"", "stdin", 2, "standard input is a terminal or closed"),
    (("compress", "-"), kinds()["zip"], "stdout", 2, "standard output is a terminal"),
    (("compress", "one.pt", "-o", "-"), b"", "stdout", 2, "standard output is a term"),
    (("compress", "-", "--json"), kinds()["zip"], None, 2, "--json is written to stan"),
    (("compress", "one.pt", "-o", "-", "--json"), b"", None, 2, "--json is written"),
    (("inspect", "-"), b"text", None, 3, "standard input is not a PyTorch checkpoint"),
    (("inspect", "-", "--plot", "plot.png"), kinds()["lnx"], None, 2, "'plot.png' exi"),
    (("decompress", "-"), kinds()["lnx"], None, 2, "give -o"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "data", "terminal", "code", "message"), PIPED)
def test_what_cannot_be_piped_is_one_line(
    piped, folder, arguments, data, terminal, code, message
):
    before = files_of(folder)
    found, out, err = piped(*arguments, data=data, terminal=terminal)
    assert found == code, err
    assert message in err
    assert err.count("\n") == 1
    assert (out == b"") != ("--json" in arguments)
    assert "/lilnetx-" not in err
    assert files_of(folder) == before


def test_a_reader_that_is_gone_is_no_news(folder):
    """As everywhere: the code says it, and no line."""
    with subprocess.Popen(
        [sys.executable, "-m", "lilnetx_cli", "compress", "one.pt", "-q", "-o", "-"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1
    assert err == b""
    assert not (folder / "-").exists()


# Wrong input


class Hostile:
    """A pickle that wants a command to run."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def hostile(folder, kind):
    """Write a file of a kind and return its name."""
    content = {"state_dict": weights(), "extra": Hostile()}
    if kind == "zip":
        torch.save(content, folder / "x.pt")
    elif kind == "old":
        torch.save(content, folder / "x.pt", _use_new_zipfile_serialization=False)
    elif kind == "pickle":
        (folder / "x.pt").write_bytes(pickle.dumps(content["extra"]))
    elif kind == "shard":
        torch.save(content["extra"], folder / "shard.bin")
        index = folder / "pytorch_model.bin.index.json"
        index.write_text('{"weight_map": {"a": "shard.bin"}}')
        return index.name
    elif kind == "cut":
        (folder / "x.pt").write_bytes((folder / "one.pt").read_bytes()[:-300])
    elif kind == "halved":
        data = (folder / "one.pt").read_bytes()
        (folder / "x.pt").write_bytes(data[: len(data) // 2])
    else:
        (folder / "x.pt").write_text("text")
    return "x.pt"


@pytest.mark.parametrize(
    "kind", ["zip", "old", "pickle", "shard", "cut", "halved", "text"]
)
def test_hostile_and_damaged_files_are_refused(here, folder, kind):
    name = hostile(folder, kind)
    before = files_of(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # they would stand beside the line
        done = here("compress", name)
    assert done.code == 3
    assert done.message.startswith("lilnetx: '")
    assert files_of(folder) == before, "something was executed or written"


@pytest.mark.parametrize(
    ("member", "kind"), [("m/code/a.py", "TorchScript"), ("m/archive_format", ".pt2")]
)
def test_programs_of_torch_are_named(here, tmp_path, member, kind):
    with zipfile.ZipFile(tmp_path / "program.pt", "w") as file:
        file.writestr(member, "pt2")
    done = here("compress", tmp_path / "program.pt")
    assert f"but a {kind} program: save the state dict" in done.err


def test_latents_in_training_are_refused(here, tmp_path):
    model = lilnetx.reparameterize(nn.Linear(8, 8))
    torch.save(model.state_dict(), tmp_path / "live.pt")
    done = here("compress", tmp_path / "live.pt")
    assert done.code == 1
    assert "holds latents of a network in training" in done.err
