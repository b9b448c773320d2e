"""Runs of several processes on the command line: stopped, killed, gone on with."""

import json
import os
import signal
import time

import pytest
import torch

from tests.training.launching import ACCELERATE, Launch, launch

pytestmark = pytest.mark.slow

TRAIN = ("lilnetx_cli", "train", "--dataset", "digits", "--device", "cpu", "-b", "64",
         "--epochs", "40", "--set", "train.calibration_images=64")  # fmt: skip
ENDS = 60  # seconds after one of the processes was killed


def lines_of_ours(said):
    return [line for line in said.splitlines() if line.startswith("lilnetx: ")]


def begun(started, run):
    """Wait until an epoch is done, and part of another one; return the processes."""
    started.wait_for((run / "resume.pt").exists)
    time.sleep(0.5)
    return started.members()


def state(run):
    return torch.load(run / "resume.pt", weights_only=True)


@pytest.mark.parametrize("which", [0, 1])
def test_a_killed_process_ends_the_run(which, tmp_path):
    with Launch(2, *TRAIN, "-o", tmp_path) as started:
        os.kill(begun(started, tmp_path)[which], signal.SIGKILL)
        code, said = started.wait(ENDS)
    assert code == 1
    (line,) = lines_of_ours(said)
    assert f"another of the 2 processes ended, so process {1 - which} stops" in line
    # The last checkpoint is that of an epoch, and the run goes on from there.
    step = state(tmp_path)["step"]
    assert step
    assert step % 10 == 0


@pytest.mark.parametrize("to", ["launcher", "all", "one"])
def test_one_interrupt_stops_all_processes_after_one_step(to, tmp_path):
    with Launch(2, *TRAIN, "-o", tmp_path) as started:
        members = begun(started, tmp_path)
        targets = {"launcher": [started.launcher.pid], "all": members,
                   "one": members[1:]}  # fmt: skip
        for pid in targets[to]:
            os.kill(pid, signal.SIGINT)
        code, said = started.wait(ENDS)
    assert code == 1  # of torchrun, whose processes end with 130
    if to != "launcher":
        assert "exitcode  : 130" in said
    (line,) = lines_of_ours(said)
    assert line.endswith("--resume")
    assert state(tmp_path)["processes"] == 2
    assert not (tmp_path / "model.pt").exists()


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_processes(first, then, tmp_path):
    with Launch(first, *TRAIN, "-o", tmp_path) as started:
        os.kill(begun(started, tmp_path)[0], signal.SIGINT)
        started.wait(ENDS)
    before = state(tmp_path)["step"]
    epoch, done = divmod(before, 20 // first)
    with Launch(then, "lilnetx_cli", "train", "-o", tmp_path, "--resume") as started:
        started.wait_for(lambda: state(tmp_path)["processes"] == then)
        os.kill(started.members()[0], signal.SIGINT)
        _, said = started.wait(ENDS)
    noun = "processes" if first > 1 else "process"
    step = epoch * 20 // then + done * first // then
    line = f"step {before} of {first} {noun} is step {step} of {800 // then} for {then}"
    assert line in said
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line)["epoch"] for line in lines]
    assert len(found) > epoch
    assert found == list(range(1, len(found) + 1))


def test_accelerate_launches_a_run(tmp_path):
    code, said = launch(2, *TRAIN, "--max-steps", "2", "-o", tmp_path, by=ACCELERATE)
    assert code == 0, said
    assert said.count("next: lilnetx compress") == 1
    assert state(tmp_path)["processes"] == 2
