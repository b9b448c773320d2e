"""What the machine refuses: full disks and streams, no compiler, lost processes."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lnx
from lilnetx_cli.errors import InputError, LilnetxError

FULL = Path("/dev/full")
full_device = pytest.mark.skipif(not FULL.exists(), reason="no device that is full")


def run_full(*arguments, stream):
    """Run a command line with one of its streams to a device that takes nothing."""
    with FULL.open("w") as full:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: full}
        return subprocess.run(
            [sys.executable, "-m", "lilnetx_cli", *arguments], text=True, **streams
        )


@pytest.mark.parametrize("as_json", [False, True])
def test_an_interrupt_while_modules_are_imported(as_json):
    """Another try to import what was interrupted may fail, as numpy's does."""
    code = (
        "import sys\n"
        "from lilnetx_cli.__main__ import run\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'numpy':\n"
        "            sys.meta_path[0] = Broken()\n"
        "            raise KeyboardInterrupt\n"
        "class Broken:\n"
        "    def find_spec(self, name, *_):\n"
        "        raise ImportError(name)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "models", *["--json"] * as_json],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr == "lilnetx: interrupted\n"
    error = '{"error": {"code": 130, "message": "interrupted"}}\n'
    assert done.stdout == (error if as_json else "")


@full_device
@pytest.mark.parametrize("verb", ["--version", "verify", "inspect"])
def test_stdout_that_takes_nothing(trained, verb):
    rest = () if verb == "--version" else (trained / "model.lnx", "--json")
    done = run_full(verb, *rest, stream="stdout")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "no space left on device" in done.stderr


@full_device
def test_an_error_that_stdout_does_not_take():
    done = run_full("none", "--json", stream="stdout")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr


@full_device
def test_stderr_that_takes_nothing():
    done = run_full("none", "--json", stream="stderr")
    assert done.returncode == 2
    assert done.stdout.startswith('{"error": {"code": 2,')


@pytest.mark.parametrize("temporary_is_named", [True, False])
def test_a_full_disk_is_told_with_the_target(tmp_path, temporary_is_named):
    target = tmp_path / "out.lnx"

    def write():
        with lnx.atomic_path(target) as temporary:
            named = str(temporary) if temporary_is_named else None
            raise OSError(errno.ENOSPC, "No space left on device", named)

    with pytest.raises(OSError, match="No space") as found:
        write()
    assert found.value.filename == str(target)
    assert list(tmp_path.iterdir()) == []


def test_no_compiler_is_said_before_anything_is_written(here, tmp_path, monkeypatch):
    def nothing(_):
        raise RuntimeError("Compiler: cl is not found.")

    monkeypatch.setattr(torch, "compile", nothing)
    done = here("train", "--compile", "--device", "cpu", "-o", tmp_path / "run")
    assert done.code == 2
    assert "--compile does not work on this machine, leave it out" in done.message
    assert "cl is not found" in done.message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_worker_is_what_it_was(here, trained, monkeypatch, workers):
    """torch makes a text with the traceback of the process of it."""
    from lilnetx_cli.data.stream import ArrayImages

    message = "'x.png' is not a readable image: Error: all is well"

    def fail(*_):
        raise InputError(message)

    monkeypatch.setattr(ArrayImages, "__getitems__", fail)
    done = here("evaluate", trained / "model.lnx", "--no-latency", "-j", workers)
    assert done.code == 1
    assert done.message == f"lilnetx: {message}"


def test_a_failed_check_is_one_json_object(here, trained, monkeypatch):
    """What was measured, and that it failed, come together."""
    from lilnetx_cli.cli.commands import evaluate

    def fail(record):
        error = LilnetxError("the networks differ")
        error.record = record
        raise error

    monkeypatch.setattr(evaluate, "check_alike", fail)
    done = here("evaluate", trained / "model.lnx", "--no-latency", "--json")
    assert done.code == 1
    assert done.json["error"] == {"code": 1, "message": "the networks differ"}
    assert done.json["examples"] == 359
