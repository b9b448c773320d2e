"""Hostile files at the command line: code 3, one line, nothing written."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

import lnx
from tests.format.hostile import cases

MANY = """
import contextlib, io, json, sys
from lilnetx_cli.__main__ import run
answers = []
for arguments in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    answers.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(answers))
"""


def run_many(commands, cwd):
    """Run command lines one after the other in one process."""
    done = subprocess.run(
        [sys.executable, "-c", MANY], input=json.dumps(commands),
        capture_output=True, text=True, cwd=cwd, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_hostile_files_are_refused_by_every_verb(tmp_path):
    found = cases()
    commands = []
    for number, case in enumerate(found):
        (tmp_path / f"{number}.lnx").write_bytes(case.data)
        name = f"{number}.lnx"
        commands += [
            ["verify", name],
            ["decompress", name, "-o", f"{number}.safetensors"],
            ["decompress", name, "-o", f"{number}.pt", "--json"],
            ["compress", name, "-o", f"{number}.again.lnx"],
        ]
    before = sorted(path.name for path in tmp_path.iterdir())
    answers = run_many(commands, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    for command, (code, out, err) in zip(commands, answers, strict=True):
        story = found[int(command[1].split(".")[0])].story
        refused = 3
        if command[0] == "compress" and not found_as_lnx(tmp_path / command[1]):
            assert code in (1, 3), story  # read as a checkpoint, which it is not
        else:
            assert code == refused, (story, err)
        assert err.count("\n") == 1, story
        assert err.startswith("lilnetx: "), story
        assert "Traceback" not in err
        if "--json" in command:
            assert json.loads(out)["error"]["code"] == code
        else:
            assert out == "", story


def found_as_lnx(path):
    return path.read_bytes().startswith(b"\x89LNX")


def test_verify_tells_where_the_damage_is(cli, tmp_path):
    tensors = tuple(
        lnx.Exact(f"t{i}", lnx.DType.U8, (30_000,), noise(30_000, i)) for i in range(3)
    )
    data = bytearray(lnx.dumps(lnx.Container(tensors)))
    place = len(data) - 16 - 30_000 - 15_000  # in the middle of the second tensor
    data[place] ^= 1
    (tmp_path / "m.lnx").write_bytes(data)
    done = cli("verify", tmp_path / "m.lnx", "--json")
    assert done.code == 3
    found = done.json
    assert found["ok"] is False
    assert "t1" in found["damaged_tensors"]
    assert found["tensor"] == found["damaged_tensors"][0]
    assert 0 <= place - found["offset"] <= 20_000
    assert found["error"]["code"] == 3
    assert "t1" in found["error"]["message"]


def noise(size, seed):
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


@pytest.fixture
def large(tmp_path):
    """A file that takes a while to write and to read."""
    tensors = tuple(
        lnx.Exact(f"t{i}", lnx.DType.U8, (8_000_000,), noise(8_000_000, i))
        for i in range(4)
    )
    lnx.save(lnx.Container(tensors), tmp_path / "large.lnx")
    return tmp_path / "large.lnx"


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_full_disk_leaves_nothing(large, suffix):
    """A limit on the size of files stands for a disk that is full."""
    import resource

    out = large.with_name(f"out{suffix}")
    done = subprocess.run(
        [sys.executable, "-m", "lilnetx_cli", "decompress", large, "-o", out],
        capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20,) * 2),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert [path.name for path in large.parent.iterdir()] == ["large.lnx"]


@pytest.mark.parametrize("verb", ["compress", "decompress"])
@pytest.mark.parametrize("pause", [0, 0.1])
def test_an_interrupt_leaves_the_old_output(large, verb, pause):
    """It comes to all processes, as from a terminal, some time after the work began."""
    out = large.with_name("out.lnx" if verb == "compress" else "out.safetensors")
    out.write_bytes(b"precious")
    command = [sys.executable, "-m", "lilnetx_cli", verb, large, "-f", "-o", out]
    with subprocess.Popen(
        [*command, "-j", "2"], stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        while len(list(large.parent.iterdir())) < 3 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(pause)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate()
    assert "Traceback" not in err
    assert sorted(p.name for p in large.parent.iterdir()) == ["large.lnx", out.name]
    if out.read_bytes() != b"precious":  # it was faster, and left a whole file
        (lnx.load if verb == "compress" else load_file)(out)
    else:  # the second code is Python's own where it was importing
        assert process.returncode in (130, -signal.SIGINT)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(cli, large):
    large.chmod(0)
    done = cli("verify", large)
    assert done.code == 1
    assert "permission denied" in done.message


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_jobs_give_the_same_files(cli, tmp_path, jobs):
    rng = np.random.default_rng(0)
    rows = np.rint(rng.laplace(size=(250_000, 9)) * 0.7).astype(np.int8)
    decoder = np.eye(9, dtype=np.float32)
    container = lnx.Container((lnx.Latent("w", rows.shape, rows, 0),), (decoder,))
    size = lnx.save(container, tmp_path / "m.lnx")
    out = tmp_path / "m.safetensors"
    done = cli("decompress", tmp_path / "m.lnx", "-o", out, "-j", jobs)
    assert done.code == 0, done.err
    assert out.read_bytes().endswith(rows.astype("<f4").tobytes())
    done = cli("compress", tmp_path / "m.lnx", "-o", tmp_path / "n.lnx", "-j", jobs)
    assert done.code == 0, done.err
    assert (tmp_path / "n.lnx").read_bytes() == (tmp_path / "m.lnx").read_bytes()
    done = cli("verify", tmp_path / "n.lnx", "-j", jobs, "--json")
    assert done.json["bytes"] == size


def test_no_jobs_is_a_usage_error(cli, tmp_path):
    lnx.save(lnx.Container(()), tmp_path / "m.lnx")
    done = cli("verify", tmp_path / "m.lnx", "-j", "0")
    assert done.code == 2
    assert "jobs" in done.message
