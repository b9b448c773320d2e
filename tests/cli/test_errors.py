import json
import os

import pytest
import torch

import lnx

LINES = [
    (("inspect", "none.lnx"), 2, "'none.lnx' does not exist"),
    (("inspect", "."), 1, "'.' is a folder"),
    (("inspect", "fifo"), 1, "not a regular file"),
    (("inspect", "empty"), 3, "too short"),
    (("inspect", "model.pt"), 3, "zip archive or a PyTorch checkpoint"),
    (("inspect", "text"), 3, "no .lnx file"),
    (("inspect", "model.lnx", "--layer", "x"), 2, "no tensor"),
    (("inspect", "cut.lnx"), 3, "cut short: "),
    (("verify", "cut.lnx"), 3, "cut short: "),
    (("verify", "flipped.lnx"), 3, "'flipped.lnx'"),
    (("verify", "model.lnx", "--max-size", "1kB"), 3, "the limit is 1000"),
    (("verify", "model.lnx", "--max-size", "huge"), 2, "no size"),
    (("decompress", "flipped.lnx"), 3, "'flipped.lnx'"),
    (("decompress", "model.lnx", "-o", "model.lnx"), 2, "ends in '.lnx'"),
    (("decompress", "model.lnx", "-o", "model.pt"), 2, "exists: overwrite it with -f"),
    (("decompress", "model.lnx", "-o", "no/x.pt"), 2, "does not exist"),
    (("decompress", "model.lnx", "-o", "x.gguf"), 2, "ends in '.gguf'"),
    (("compress", "none.pt"), 2, "does not exist"),
    (("compress", "model.pt"), 2, "'model.lnx' exists"),
    (("compress", "model.pt", "-o", "model.pt", "-f"), 2, "is the input"),
    (("compress", "model.pt", "-o", "."), 1, "is a folder"),
    (("compress", "list.pt", "-o", "x.lnx"), 1, "holds no state dict: a list"),
    (("compress", "numbers.pt", "-o", "x.lnx"), 1, "keys epoch, args"),
    (("compress", "plain.pt", "-o", "x.lnx", "--key", "a.b"), 2, "no entry 'a.b'"),
    (("compress", "bad.safetensors", "-o", "x.lnx"), 3, "no safetensors file"),
    (("compress", "pickle.pt", "-o", "x.lnx"), 3, "could run code"),
    (("compress", "text", "-o", "x.lnx"), 3, "no PyTorch checkpoint"),
    (("compress", "changed.pt", "-o", "x.lnx"), 1, "'fc.weight' are not what"),
    (("evaluate", "model.lnx", "--dataset", "nothing"), 2, "there are: digits"),
    (("evaluate", "model.lnx", "--model", "resnet32"), 2, "does not fit"),
    (("evaluate", "model.lnx", "--model-arg", "width"), 2, "key=count"),
    (("evaluate", "model.lnx", "-b", "0"), 2, "-b"),
    (("train", "--dataset", "nothing", "-o", "r"), 2, "there are: digits"),
    (("train", "--model", "nothing", "-o", "r"), 2, "there are: resnet20"),
    (("train", "--epochs", "0", "-o", "r"), 2, "train.epochs"),
    (("train", "--epochs", "many", "-o", "r"), 2, "--epochs"),
    (("train", "--set", "train.nothing=1", "-o", "r"), 2, "'train.nothing'"),
    (("train", "--set", "train", "-o", "r"), 2, "section.key=value"),
    (("train", "--set", "train.lr.x=1", "--lr", "1", "-o", "r"), 2, "train.lr"),
    (("train", "-c", "none.toml", "-o", "r"), 2, "does not exist"),
    (("train", "-c", "text", "-o", "r"), 1, "no TOML file"),
    (("train", "-o", "text"), 1, "is a file"),
    (("train", "--resume", "auto", "-o", "r"), 2, "does not exist"),
    (("train", "--resume", "model.pt", "-o", "r"), 3, "no resume.pt"),
    (("train", "--model-arg", "channels=3", "-o", "r"), 2, "leave it out"),
    (("train", "--model-arg", "width=--5", "-o", "r"), 2, "key=count"),
    (("train", "-c", "config.toml", "-o", "."), 2, "holds a run (model.pt)"),
    (("compress", "stray.pt", "-o", "x.lnx"), 1, "--key"),
    (("compress", "model.pt", "-o", "fifo", "-f"), 1, "not a regular file"),
    (("evaluate", "huge.lnx"), 2, "does not fit"),
    (("train", "--data-dir", "none", "-o", "r"), 2, "is no folder"),
    (("train", "--dataset", "mnist", "--data-dir", ".", "-o", "r"), 1, "--data-dir"),
    (("train", "--dataset", "digits", "-b", "9999", "-o", "r"), 2, "only 1294"),
    (("demo", "-o", "."), 1, "not an empty folder"),
    (("nothing",), 2, "nothing"),
    (("inspect",), 2, "missing"),
    (("inspect", "model.lnx", "--nothing"), 2, "--nothing"),
]


@pytest.fixture(scope="module")
def broken(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    data = (trained / "model.lnx").read_bytes()
    checkpoint = (trained / "run" / "model.pt").read_bytes()
    (folder / "model.lnx").write_bytes(data)
    (folder / "cut.lnx").write_bytes(data[:-100])
    flipped = bytearray(data)
    flipped[-1000] ^= 4
    (folder / "flipped.lnx").write_bytes(flipped)
    (folder / "model.pt").write_bytes(checkpoint)
    content = torch.load(folder / "model.pt", weights_only=True)
    torch.save(content["state_dict"], folder / "plain.pt")
    torch.save([1, 2], folder / "list.pt")
    stray = {"best": torch.tensor(71.3), "weights": content["state_dict"]}
    torch.save(stray, folder / "stray.pt")
    (folder / "config.toml").write_text("")
    form = {"channels": 1, "classes": 10, "width": 60_000}
    huge = lnx.Container((), (), {"name": "resnet20", "args": form}, {})
    lnx.save(huge, folder / "huge.lnx")
    torch.save({"epoch": 3, "args": {}}, folder / "numbers.pt")
    (folder / "bad.safetensors").write_bytes(b"\xff" * 40)
    content["state_dict"]["fc.weight"] += 1
    torch.save(content, folder / "changed.pt")
    torch.save(torch.nn.Linear(2, 2), folder / "pickle.pt")
    (folder / "empty").write_bytes(b"")
    (folder / "text").write_text("this is = no = TOML")
    os.mkfifo(folder / "fifo")
    return folder


@pytest.mark.parametrize(("arguments", "code", "message"), LINES)
def test_one_line_and_the_documented_code(cli, broken, arguments, code, message):
    before = {path: path.stat().st_size for path in broken.iterdir()}
    done = cli(*arguments, cwd=broken)
    assert done.code == code, done.err
    assert message in done.message
    after = {path: path.stat().st_size for path in broken.iterdir()}
    assert after == before, "something was written"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("verify", "flipped.lnx"), 3),
        (("inspect", "none.lnx"), 2),
        (("inspect", "--nothing"), 2),
        (("compress", "list.pt", "-o", "x.lnx"), 1),
    ],
)
def test_errors_as_json(cli, broken, arguments, code):
    done = cli(*arguments, "--json", cwd=broken)
    assert done.code == code
    assert json.loads(done.out)["error"]["code"] == code
    assert done.out.count("\n") == 1


def test_force_overwrites_and_only_then(cli, files):
    (files / "out.pt").write_bytes(b"precious")
    assert cli("decompress", files / "model.lnx", "-o", files / "out.pt").code == 2
    assert (files / "out.pt").read_bytes() == b"precious"
    done = cli("decompress", files / "model.lnx", "-o", files / "out.pt", "-f")
    assert done.code == 0
    assert (files / "out.pt").stat().st_size > 1000


def test_a_damaged_input_leaves_the_old_output(cli, files):
    data = bytearray((files / "model.lnx").read_bytes())
    data[-1000] ^= 4
    (files / "model.lnx").write_bytes(data)
    (files / "out.pt").write_bytes(b"precious")
    done = cli("decompress", files / "model.lnx", "-o", files / "out.pt", "-f")
    assert done.code == 3
    assert (files / "out.pt").read_bytes() == b"precious"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(cli, files):
    files.chmod(0o500)
    done = cli("compress", files / "model.pt", "-o", files / "x.lnx")
    files.chmod(0o700)
    assert done.code == 1


def test_names_in_a_file_do_not_reach_the_terminal(cli, tmp_path):
    import numpy as np

    name = "a\x1b[31m[bold]\r\nb"
    tensor = lnx.Exact(name, lnx.DType.U8, (1,), np.ones(1, np.uint8))
    record = {"name": "\x1b]0;owned\x07"}
    lnx.save(lnx.Container((tensor,), (), record, record), tmp_path / "m.lnx")
    done = cli("inspect", tmp_path / "m.lnx")
    assert done.code == 0
    assert "\x1b" not in done.out
    assert "\x07" not in done.out
    assert "[bold]" in done.out


def test_a_file_without_architecture_says_so(cli, tmp_path):
    lnx.save(lnx.Container(()), tmp_path / "m.lnx")
    done = cli("evaluate", tmp_path / "m.lnx")
    assert done.code == 2
    assert "add --model" in done.message


def test_hostile_architecture_is_refused(cli, tmp_path):
    record = {"name": "os.system", "args": {}}
    lnx.save(lnx.Container((), (), record, {"dataset": "digits"}), tmp_path / "m.lnx")
    done = cli("evaluate", tmp_path / "m.lnx")
    assert done.code == 3
    assert "no network is named 'os.system'" in done.message
