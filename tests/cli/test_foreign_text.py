"""Names from files and messages that repeat them: nothing steers the terminal.

Whoever writes a file chooses its names. On the terminal they are escaped and cut, and
no choice of words makes the tool say what is not so.
"""

import functools
import zipfile

import numpy as np
import pytest
import torch

import lnx
from lilnetx_cli.checkpoint import capture, pack
from lilnetx_cli.cli.exit_codes import explain
from lilnetx_cli.errors import InputError, LilnetxError, one_line, reason_of, suggestion
from lilnetx_cli.models import build

LONGEST_NAME = 1000  # of a tensor, about what a file may hold
LONGEST_LINE = 1010  # with "lilnetx: " before it
NASTY = {
    "escape": "\x1b[2J\x1b]0;owned\x07",
    "control sequence of one byte": "\x9b2J",
    "carriage return": "x\rlilnetx: ok",
    "line break": "x\nlilnetx: ok",
    "line separator": "x\u2028lilnetx: ok",
    "direction": "\u202etxt.exe",
    "zero width": "a\u200bb\u2066c\ufeff",
    "sentence": "x: Error: the file was verified",
    "allocator": "DefaultCPUAllocator: can't allocate memory",
    "pickle": "x GLOBAL the file was verified ",
    "long": "n" * 900_000,
}
FORM = {"channels": 1, "classes": 10}


def container(name="w", architecture=None, training=None):
    values = np.arange(2, dtype=np.uint8)
    tensor = lnx.Exact(name[:LONGEST_NAME], lnx.DType.U8, (2,), values)
    return lnx.Container((tensor,), (), architecture, training)


def lnx_file(path, **parts):
    path = path.with_suffix(".lnx")
    lnx.save(container(**parts), path)
    return path


@functools.cache
def whole_network():
    return pack(capture(build("resnet20", FORM))).tensors


def one_too_many(path, text):
    """A whole network and a tensor more, which torch names in its message."""
    tensors = (*whole_network(), *container(name=text).tensors)
    record = {"name": "resnet20", "args": FORM}
    lnx.save(lnx.Container(tensors, (), record), path.with_suffix(".lnx"))
    return path.with_suffix(".lnx")


def pickle_that_calls(path, text):
    """A checkpoint whose pickle names a global of these words."""
    module, name = "evil", text.replace("\n", " ").encode("utf-8", "backslashreplace")
    with zipfile.ZipFile(path.with_suffix(".pt"), "w") as file:
        file.writestr(
            "x/data.pkl", b"\x80\x02c" + module.encode() + b"\n" + name + b"\n."
        )
        file.writestr("x/version", "3\n")
        file.writestr("x/byteorder", "little")
    return path.with_suffix(".pt")


def checkpoint(path, content):
    torch.save(content, path.with_suffix(".pt"))
    return path.with_suffix(".pt")


def damaged(path, text):
    """A file with a flipped bit in the only tensor, which has the name."""
    values = np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8)
    tensor = lnx.Exact(text[:LONGEST_NAME], lnx.DType.U8, values.shape, values)
    data = bytearray(lnx.dumps(lnx.Container((tensor,))))
    data[-100] ^= 1
    path.with_suffix(".lnx").write_bytes(data)
    return path.with_suffix(".lnx")


# How a text gets to the terminal: a command line, given a path to write to.
CHANNELS = {
    "tensor in torch's message": lambda p, x: ("evaluate", one_too_many(p, x)),
    "network": lambda p, x: (
        "evaluate", lnx_file(p, architecture={"name": x, "args": {}}),
    ),
    "network of torchvision": lambda p, x: (
        "evaluate",
        lnx_file(p, architecture={"name": f"torchvision:{x}", "args": FORM}),
    ),
    "network of timm": lambda p, x: (
        "evaluate", lnx_file(p, architecture={"name": f"timm:{x}", "args": FORM}),
    ),
    "factory": lambda p, x: (
        "evaluate",
        lnx_file(p, architecture={"name": f"{x}.py:make", "args": FORM}),
    ),
    "argument": lambda p, x: (
        "evaluate",
        lnx_file(p, architecture={"name": "resnet20", "args": {**FORM, x: 2}}),
    ),
    "value of an argument": lambda p, x: (
        "evaluate",
        lnx_file(p, architecture={"name": "resnet20", "args": {**FORM, "width": x}}),
    ),
    "damaged tensor": lambda p, x: ("verify", damaged(p, x)),
    "tensor that is not a tensor": lambda p, x: (
        "compress", checkpoint(p, {"a": {x: torch.zeros(1)}, x: torch.zeros(1)}),
    ),
    "entry of a checkpoint": lambda p, x: ("compress", checkpoint(p, {x: 1})),
    "version of a checkpoint": lambda p, x: ("compress", checkpoint(p, {"lilnetx": x})),
    "type that no file holds": lambda p, x: (
        "compress", checkpoint(p, {x: torch.zeros(1, dtype=torch.complex128)}),
    ),
    "global of a pickle": lambda p, x: ("compress", pickle_that_calls(p, x)),
    "entry that is asked for": lambda p, x: (
        "compress", checkpoint(p, {"a": 1}), "--key", x,
    ),
    "path": lambda p, x: ("inspect", f"{p.parent}/{x[:200]}/x.lnx"),
    "model": lambda p, x: ("train", "-o", p, "--model", x),
    "data set": lambda p, x: ("train", "-o", p, "--dataset", x),
    "setting": lambda p, x: ("train", "-o", p, "--set", f"{x}=1"),
    "model argument": lambda p, x: ("train", "-o", p, "--model-arg", f"{x}=1"),
    "option": lambda p, x: ("train", "-o", p, f"--{x}"),
    "verb": lambda p, x: (x, p),
}  # fmt: skip


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize("channel", CHANNELS)
def test_errors_are_one_short_line(here, tmp_path, channel, nasty):
    text = NASTY[nasty]
    arguments = CHANNELS[channel](tmp_path / "m", text)
    done = here(*arguments)
    assert done.code in (1, 2, 3)
    assert done.message.startswith("lilnetx: ")
    assert done.message.isprintable()
    assert len(done.message) <= LONGEST_LINE
    assert "internal error" not in done.message
    # What is wrong is said before the words of the file come.
    assert not done.message.startswith("lilnetx: the file was verified")
    assert "not enough memory" not in done.message
    again = here(*arguments, "--json")
    assert again.json["error"] == {
        "code": done.code, "message": done.message.removeprefix("lilnetx: "),
    }  # fmt: skip


@pytest.mark.parametrize("nasty", NASTY)
def test_results_and_tables_are_short_lines(here, tmp_path, nasty):
    text = NASTY[nasty]
    record, key = {"name": text}, {text: 1}
    path = lnx_file(tmp_path / "m", name=text, architecture=record, training=key)
    done = here("inspect", path)
    assert done.code == 0
    for line in done.out.splitlines():
        assert line.isprintable()
        assert len(line) <= LONGEST_LINE


@pytest.mark.parametrize("nasty", NASTY)
def test_reports_of_checkpoints_are_short_lines(here, tmp_path, nasty):
    text = NASTY[nasty]
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(9, 9)))
    state = {text: noise, f"{text}2": noise.clone(), f"{text}3": torch.arange(99)}
    content = {text: state, f"{text}2": {text: noise + 1}, "optimizer": {text: noise}}
    done = here("inspect", checkpoint(tmp_path / "m", content))
    assert done.code == 0, done.err
    refused = "." in text or len(text) > LONGEST_NAME  # keys with dots, long names
    assert ("\nnext: lilnetx compress" in done.out) != refused
    for line in done.out.splitlines():
        assert line.isprintable()
        assert len(line) <= LONGEST_LINE
    record = here("inspect", checkpoint(tmp_path / "m", content), "--json").json
    assert record["tensors"][0]["name"] == f"{text}.{text}"


@pytest.mark.parametrize("nasty", NASTY)
def test_warnings_are_short_lines(here, tmp_path, nasty):
    text = NASTY[nasty]
    state = {"w": torch.zeros(2), text: "no tensor"}
    done = here("compress", checkpoint(tmp_path / "m", {"model": {**state}, text: 1}))
    assert done.code == 0
    assert "warning: " in done.err
    for line in done.err.splitlines():
        assert line.isprintable()
        assert len(line) <= LONGEST_LINE


@pytest.mark.parametrize("nasty", NASTY)
def test_json_holds_names_exactly(here, tmp_path, nasty):
    text = NASTY[nasty]
    path = lnx_file(tmp_path / "m", name=text, architecture={"name": text})
    record = here("inspect", path, "--json").json
    assert record["tensors"][0]["name"] == text[:LONGEST_NAME]
    assert record["architecture"] == {"name": text}


@pytest.mark.parametrize("error", [LilnetxError, InputError, lnx.FormatError, OSError])
def test_no_message_is_taken_apart(error):
    text = "tensor 'x Error: the file was verified'"
    assert explain(error(text))[1].lower() == text.lower()


def test_memory_is_told_by_type_and_not_by_words():
    assert explain(MemoryError())[1] == "not enough memory"
    with pytest.raises(RuntimeError) as found:
        torch.empty(1 << 50)
    assert explain(found.value)[1] == "not enough memory"
    forged = RuntimeError('no tensor "DefaultCPUAllocator: can\'t allocate memory"')
    assert "not enough memory" not in explain(forged)[1]


def test_both_ends_of_a_long_text_are_kept():
    text = one_line("begin " + "x" * 5000 + " end")
    assert len(text) == 200
    assert text.startswith("begin ")
    assert text.endswith(" end")
    assert one_line(text) == text
    assert len(reason_of(ValueError("\x1b" * 5000))) <= 200


@pytest.mark.parametrize("name", NASTY)
def test_a_suggestion_is_found_among_foreign_names(name):
    assert "did you mean 'weight'" in suggestion("weigth", [NASTY[name], "weight"])
    assert len(suggestion(NASTY[name], [NASTY[name]])) < 300
