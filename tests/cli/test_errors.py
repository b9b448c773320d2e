import os

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import lnx

NAMED = ("compress", "plain.pt", "-o", "x.lnx", "--model", "resnet20")
FORM = ("--model-arg", "channels=1", "--model-arg", "classes=10")
LINES = [
    (("inspect", "none.lnx"), 2, "'none.lnx' does not exist"),
    (("inspect", "bare"), 1, "folder 'bare' holds no network"),
    (("inspect", "fifo"), 1, "not a regular file"),
    (("inspect", "empty.lnx"), 3, "too short"),
    (("inspect", "renamed.lnx"), 3, "zip archive or a PyTorch checkpoint"),
    (("inspect", "text.lnx"), 3, "not a .lnx file"),
    (("inspect", "empty"), 3, "but an empty file"),
    (("inspect", "text"), 3, "not a PyTorch checkpoint but a text file"),
    (("inspect", "cut.pt"), 3, "is a truncated or damaged PyTorch checkpoint"),
    (("inspect", "pickle.pt"), 3, "could run code"),
    (("inspect", "bad.safetensors"), 3, "not a valid safetensors file"),
    (("inspect", "list.pt"), 1, "'list.pt' holds no tensors"),
    (("inspect", "plain.pt", "--plot", "x.png"), 2, "--plot needs a .lnx file"),
    (("inspect", "plain.pt", "--layer", "fc.wieght"), 2, "mean 'fc.weight'?"),
    (("inspect", "model.lnx", "--plot", "x.jpg"), 2, "one of .png, .svg, .pdf"),
    (("inspect", "model.lnx", "--plot", "x"), 2, "one of .png, .svg, .pdf"),
    (("inspect", "model.lnx", "--layer", "fc.wieght"), 2, "mean 'fc.weight'?"),
    (("inspect", "model.lnx", "--layr", "x"), 2, "did you mean --layer?"),
    (("verify", "model.lnx", "--bogus"), 2, "no such option: --bogus (see"),
    (("inspect", "model.lnx", "-q", "-v"), 2, "cannot be combined"),
    (("inspect", "model.lnx", "--layer", "x"), 2, "no tensor"),
    (("inspect", "cut.lnx"), 3, "cut short: "),
    (("verify", "cut.lnx"), 3, "cut short: "),
    (("verify", "flipped.lnx"), 3, "'flipped.lnx'"),
    (("verify", "model.lnx", "--max-size", "1kB"), 3, "the limit is 1000"),
    (("verify", "model.lnx", "--max-size", "huge"), 2, "not a size"),
    (("decompress", "flipped.lnx"), 3, "'flipped.lnx'"),
    (
        ("decompress", "model.lnx", "-o", "model.lnx"),
        2,
        "only --pruned writes a .lnx file",
    ),
    (("decompress", "model.lnx", "-o", "model.pt"), 2, "exists: overwrite it with -f"),
    (("decompress", "model.lnx", "-o", "no/x.pt"), 2, "does not exist"),
    (
        ("decompress", "model.lnx", "-o", "x.pt", "--model", "resnet20"),
        2,
        "--model needs --pruned, or an output .pt2 or .onnx",
    ),
    (
        ("decompress", "model.lnx", "--input-shape", "1x8x8"),
        2,
        "--input-shape needs",
    ),
    (("decompress", "model.lnx", "-o", "-"), 2, "cannot write to standard output"),
    (("decompress", "model.lnx", "-o", "x.gguf"), 2, "has the suffix '.gguf'"),
    (("compress", "none.pt"), 2, "does not exist"),
    (
        ("train", "-q", "--dataset", "folder", "--data-dir", "one", "-o", "r"),
        1,
        "one class",
    ),
    (("compress", "none/model.pt"), 2, "'none/model.pt' does not exist"),
    (("compress", "model.pt"), 2, "'model.lnx' exists"),
    (("compress", "model.pt", "-o", "model.pt", "-f"), 2, "is the input"),
    (("compress", "model.pt", "-o", "."), 2, "'model.lnx' exists"),
    (("compress", "list.pt", "-o", "x.lnx"), 1, "holds no state dict: a list"),
    (("compress", "numbers.pt", "-o", "x.lnx"), 1, "keys epoch, args"),
    (("compress", "plain.pt", "-o", "x.lnx", "--key", "a.b"), 2, "no entry 'a.b'"),
    (("compress", "bad.safetensors", "-o", "x.lnx"), 3, "not a valid safetensors file"),
    (("compress", "pickle.pt", "-o", "x.lnx"), 3, "could run code"),
    (
        ("compress", "text", "-o", "x.lnx"),
        3,
        "not a PyTorch checkpoint but a text file",
    ),
    (("compress", "empty", "-o", "x.lnx"), 3, "but an empty file"),
    (("compress", "pointer.pt", "-o", "x.lnx"), 3, "git lfs pull"),
    (("compress", "page.pt", "-o", "x.lnx"), 3, "a web page"),
    (("compress", "other.pt", "-o", "x.lnx"), 3, "a .safetensors file"),
    (("compress", "text.safetensors", "-o", "x.lnx"), 3, "but a text file"),
    (("compress", "resume.pt", "-o", "x.lnx"), 1, "resume state"),
    (
        ("compress", "resume.pt", "-o", "x.lnx", "--key", "model"),
        1,
        "use the model.pt",
    ),
    (("compress", "changed.pt", "-o", "x.lnx"), 1, "'fc.weight' are not what"),
    (("evaluate", "model.lnx", "--dataset", "nothing"), 2, "there are: digits"),
    (("evaluate", "model.lnx", "--model", "resnet32"), 2, "does not fit"),
    (("evaluate", "model.lnx", "--model-arg", "width"), 2, "key=count"),
    (("evaluate", "model.lnx", "-b", "0"), 2, "-b"),
    (("evaluate", "model.lnx", "--input-shape", "3x8x8"), 2, "shape (3, 8, 8)"),
    (("evaluate", "model.lnx", "--dataset", "Digits"), 2, "did you mean 'digits'?"),
    (("evaluate", "model.lnx", "--dataset", "digit.py"), 2, "digit.py:function"),
    (("evaluate", "model.lnx", "--data-dir", "."), 2, "comes with lilnetx"),
    (("evaluate", "resume.pt"), 1, "resume state"),
    (("train", "--dataset", "nothing", "-o", "r"), 2, "there are: digits"),
    (("train", "--model", "nothing", "-o", "r"), 2, "there are: resnet20"),
    (("train", "--model", "resnet21", "-o", "r"), 2, "did you mean 'resnet20'?"),
    (("train", "--model", "vit_b_16", "-o", "r"), 2, "mean torchvision:vit_b_16?"),
    (("train", "--model", "torchvision:resnet51", "-o", "r"), 2, "mean 'resnet50'?"),
    (("train", "--model", "net.py", "-o", "r"), 2, "net.py:function"),
    (("train", "--model-arg", "widht=2", "-o", "r"), 2, "did you mean 'width'?"),
    (("train", "--dataset", "cifar-10", "-o", "r"), 2, "did you mean 'cifar10'?"),
    (("train", "--device", "gpu", "-o", "r"), 2, "expected 'auto', 'cpu', 'cuda'"),
    (("train", "--batch", "3", "-o", "r"), 2, "did you mean --batch-size"),
    (("train", "--set", "epochs=3", "-o", "r"), 2, "did you mean 'train.epochs'?"),
    (("train", "--set", "plain=true", "-o", "r"), 2, "did you mean 'train.plain'?"),
    (("train", "--set", "trian.lr=1", "-o", "r"), 2, "did you mean 'train'?"),
    (("train", "--set", "train.epoch=3", "-o", "r"), 2, "mean 'train.epochs'?"),
    (("train", "--set", "name=x", "-o", "r"), 2, "'model.name' or 'data.name'?"),
    (("train", "--set", "train=3", "-o", "r"), 2, "a table: set train.epochs"),
    (("train", "-c", "section.toml", "-o", "r"), 2, "'section.toml': no setting"),
    (("train", "--epochs", "0", "-o", "r"), 2, "train.epochs"),
    (("train", "--epochs", "many", "-o", "r"), 2, "(see lilnetx train --help)"),
    (("train", "--set", "train.nothing=1", "-o", "r"), 2, "'train.nothing'"),
    (("train", "--set", "train", "-o", "r"), 2, "section.key=value"),
    (("train", "--plain", "--sweep", "2", "-o", "r"), 2, "leave out --plain"),
    (("train", "--sweep", "0", "-o", "r"), 2, "(see lilnetx train --help)"),
    (
        ("train", "--sweep", "3", "--target-size", "3B", "-o", "r"),
        2,
        "3 bytes cannot be halved that often",
    ),
    (("train", "--sweep", "2", "--resume", "x.pt", "-o", "r"), 2, "in its own folder"),
    (("train", "--sweep", "2", "--resume", "-o", "r"), 2, "'r/sweep.toml' does not"),
    (("train", "--sweep", "2", "-o", "."), 2, "holds a run (model.pt)"),
    (("train", "--sweep", "2", "-o", "text"), 1, "is a file"),
    (
        ("train", "--plain", "--target-size", "9kB", "-o", "r"),
        2,
        "the setting target.size",
    ),
    (("train", "--set", "train.lr.x=1", "--lr", "1", "-o", "r"), 2, "train.lr"),
    (("train", "-c", "none.toml", "-o", "r"), 2, "does not exist"),
    (("train", "-c", "text", "-o", "r"), 1, "not a TOML file"),
    (("train", "-o", "text"), 1, "is a file"),
    (("train", "--resume", "auto", "-o", "r"), 2, "does not exist"),
    (("train", "--resume", "-o", "r"), 2, "'r/resume.pt' does not exist"),
    (("train", "-o", "r", "--resume"), 2, "'r/resume.pt' does not exist"),
    (("train", "--resume", ".", "-o", "r"), 2, "-o . --resume"),
    (("train", "--resume", "model.pt", "-o", "r"), 3, "not a resume.pt"),
    (("train", "--model-arg", "channels=3", "-o", "r"), 2, "leave it out"),
    (("train", "--model-arg", "width=--5", "-o", "r"), 2, "key=count"),
    (("train", "-c", "config.toml", "-o", "."), 2, "holds a run (model.pt)"),
    (("compress", "stray.pt", "-o", "x.lnx"), 1, "--key"),
    (
        ("compress", "several.pt", "-o", "x.lnx"),
        1,
        "'several.pt' holds its tensors in ema, nets.b, nets.c: name one with --key",
    ),
    (
        ("compress", "several.pt", "-o", "x.lnx", "--key", "nets"),
        1,
        "'several.pt': entry 'nets' holds its tensors in nets.b, nets.c: name one",
    ),
    (("compress", "model.pt", "-o", "fifo", "-f"), 1, "not a regular file"),
    (("evaluate", "huge.lnx"), 2, "does not fit"),
    (("train", "--data-dir", "none", "-o", "r"), 2, "is not a folder"),
    (("train", "--dataset", "mnist", "--data-dir", ".", "-o", "r"), 1, "MNIST/raw in"),
    (("train", "--dataset", "cifar10", "--data-dir", ".", "-o", "r"), 1, "batches-py"),
    (
        ("train", "--dataset", "folder", "--data-dir", "bare", "-o", "r"),
        1,
        "no folders",
    ),
    (("train", "--dataset", "folder", "--data-dir", "hollow", "-o", "r"), 1, "'cat'; "),
    (("train", "--data-dir", ".", "-o", "r"), 2, "comes with lilnetx"),
    (("train", "--dataset", "digits", "-b", "9999", "-o", "r"), 2, "only 1294"),
    (("compress", "plain.pt", "-o", "x.pt"), 2, "compress writes .lnx files"),
    ((*NAMED, *FORM, "--input-shape", "63"), 2, "not take inputs of shape (63,)"),
    ((*NAMED, "--input-shape", "1x9000x9000"), 2, "1x9000x9000 is too large for a"),
    (("compress", "short.pt", "-o", "x.lnx"), 3, "is a truncated or damaged PyTorch"),
    (("compress", "plain.pt", "-o", "x.PT"), 2, "'lilnetx decompress' writes .pt"),
    (("compress", "plain.pt", "-o", "x.zip"), 2, "end it in .lnx, not in .zip"),
    (("compress", "plain.pt", "x.lnx"), 2, "to write it, use -o x.lnx"),
    (("compress", "plain.pt", "-o", "x.bin"), 2, "'x.bin': compress writes .lnx files"),
    (("compress", "zip.safetensors", "-o", "x.lnx"), 3, "suffix .pt"),
    (("compress", "nothing.pt", "-o", "x.lnx"), 1, "no state dict: an empty dict"),
    (("compress", "plain.pt", "--target-size", "20", "kB"), 2, "one word, 20kB"),
    (("compress", "--target-size", "20", "gb"), 2, "20 bytes is out of reach"),
    (("verify", "model.lnx", "--max-size", "1", "MiB"), 2, "one word, 1MiB"),
    (("demo", "-o", "text"), 1, "is a file, expected a folder"),
    (("compress", "plain.pt", "--target-size", "1.5", "MB"), 2, "one word, 1.5MB"),
    (("compress", "plain.pt", "--target-size=20", "kB"), 2, "one word, 20kB"),
    (("demo", "-o", "."), 2, "is not empty: -f replaces the run and the model.lnx"),
    (("nothing",), 2, "(see lilnetx --help)"),
    (("insepct", "model.lnx"), 2, "Did you mean 'inspect'?"),
    (("inspect",), 2, "missing"),
    (("inspect", "model.lnx", "--nothing"), 2, "--nothing"),
    (("verify", "model.lnx", "other"), 2, "(see lilnetx verify --help)"),
]


@pytest.fixture(scope="module")
def broken(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    data = (trained / "model.lnx").read_bytes()
    checkpoint = (trained / "run" / "model.pt").read_bytes()
    (folder / "model.lnx").write_bytes(data)
    (folder / "cut.lnx").write_bytes(data[:-100])
    (folder / "empty.lnx").write_bytes(b"")
    (folder / "text.lnx").write_text("this is text")
    (folder / "renamed.lnx").write_bytes(checkpoint)
    (folder / "cut.pt").write_bytes(checkpoint[:-100])
    flipped = bytearray(data)
    flipped[-1000] ^= 4
    (folder / "flipped.lnx").write_bytes(flipped)
    (folder / "model.pt").write_bytes(checkpoint)
    content = torch.load(folder / "model.pt", weights_only=True)
    torch.save(content["state_dict"], folder / "plain.pt")
    torch.save(content["state_dict"], folder / "gb")
    torch.save([1, 2], folder / "list.pt")
    (folder / "one" / "cat").mkdir(parents=True)
    for number in range(8):
        Image.new("L", (8, 8)).save(folder / "one" / "cat" / f"{number}.png")
    stray = {"best": torch.tensor(71.3), "weights": content["state_dict"]}
    torch.save(stray, folder / "stray.pt")
    nets = {"b": content["state_dict"], "c": content["state_dict"]}
    optimizer = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}
    torch.save({"net.b": nets["b"], "net.c": nets["c"]}, folder / "dots.pt")
    several = {"ema": nets["b"], "epoch": 3, "nets": nets, "optimizer": optimizer}
    torch.save(several, folder / "several.pt")
    torch.save({}, folder / "nothing.pt")
    (folder / "short.pt").write_bytes(checkpoint[: len(checkpoint) // 2])
    (folder / "zip.safetensors").write_bytes(checkpoint)
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
    (folder / "text.safetensors").write_text("this is text")
    (folder / "pointer.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    (folder / "page.pt").write_text("<!DOCTYPE html><html></html>")
    (folder / "section.toml").write_text("[training]\nepochs = 3\n")
    save_file({"w": torch.zeros(2)}, folder / "other.pt")
    resume = (trained / "run" / "resume.pt").read_bytes()
    (folder / "resume.pt").write_bytes(resume)
    (folder / "bare").mkdir()
    (folder / "hollow" / "cat").mkdir(parents=True)
    os.mkfifo(folder / "fifo")
    return folder


@pytest.mark.parametrize(("arguments", "code", "message"), LINES)
def test_one_line_and_the_documented_code(here, broken, arguments, code, message):
    before = {path: path.stat().st_size for path in broken.iterdir()}
    done = here(*arguments, cwd=broken)
    assert done.code == code, done.err
    assert message in done.message
    after = {path: path.stat().st_size for path in broken.iterdir()}
    assert after == before, "something was written"


def test_a_key_with_dots_is_taken_whole(here, broken, tmp_path):
    refused = here("compress", "dots.pt", "-o", tmp_path / "x.lnx", cwd=broken)
    assert "holds its tensors in net.b, net.c: name one" in refused.message
    words = ("compress", "dots.pt", "--key", "net.c", "-o", tmp_path / "x.lnx")
    done = here(*words, cwd=broken)
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("verify", "flipped.lnx"), 3),
        (("inspect", "none.lnx"), 2),
        (("inspect", "--nothing"), 2),
        (("compress", "list.pt", "-o", "x.lnx"), 1),
        (("decompress", "flipped.lnx"), 3),
        (("evaluate", "model.lnx", "--dataset", "nothing"), 2),
        (("train", "--epochs", "0", "-o", "r"), 2),
        (("train", "--epochs", "many", "-o", "r"), 2),
        (("models", "resnet"), 2),
        (("demo", "-o", "."), 2),
        (("nothing",), 2),
        (("--nothing",), 2),
    ],
)
def test_errors_as_json(here, broken, arguments, code):
    done = here(*arguments, "--json", cwd=broken)
    assert done.code == code
    error = done.json["error"]
    assert error == {"code": code, "message": done.err.strip()[len("lilnetx: ") :]}


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


def test_names_in_a_file_do_not_reach_the_terminal(here, tmp_path):
    import numpy as np

    name = "a\x1b[31m[bold]\r\nb"
    tensor = lnx.Exact(name, lnx.DType.U8, (1,), np.ones(1, np.uint8))
    record = {"name": "\x1b]0;owned\x07"}
    lnx.save(lnx.Container((tensor,), (), record, record), tmp_path / "m.lnx")
    done = here("inspect", tmp_path / "m.lnx")
    assert done.code == 0
    assert "\x1b" not in done.out
    assert "\x07" not in done.out
    assert "[bold]" in done.out


def test_a_file_without_architecture_says_so(here, tmp_path):
    lnx.save(lnx.Container(()), tmp_path / "m.lnx")
    done = here("evaluate", tmp_path / "m.lnx")
    assert done.code == 2
    assert "add --model" in done.message


def test_hostile_architecture_is_refused(here, tmp_path):
    record = {"name": "os.system", "args": {}}
    lnx.save(lnx.Container((), (), record, {"dataset": "digits"}), tmp_path / "m.lnx")
    done = here("evaluate", tmp_path / "m.lnx")
    assert done.code == 3
    assert "no network is named 'os.system'" in done.message
