"""Runs of several processes, and of a process that belongs to several."""

import json
import os
import subprocess
import sys

import pytest

from lilnetx_cli.config import TrainConfig
from lilnetx_cli.errors import UsageError
from lilnetx_cli.training import devices

ALONE = {
    "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "MASTER_PORT": "29500",
}  # fmt: skip


@pytest.fixture
def one_of_two(monkeypatch):
    """What a launcher sets; accelerate adds to it, and monkeypatch takes that back."""
    for name, value in {**ALONE, "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)


@pytest.mark.usefixtures("one_of_two")
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_process_that_cannot_join_is_an_error(device, monkeypatch):
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="one of 2 processes cannot join the others"):
        devices.open_accelerator(TrainConfig(device=device))
    for name in (*ALONE, "WORLD_SIZE"):
        monkeypatch.delenv(name)
    again = devices.open_accelerator(TrainConfig(device="cpu"))
    assert (again.num_processes, again.device.type) == (1, "cpu")


@pytest.mark.parametrize("name", devices.COUNTS)
def test_a_process_that_accelerate_leaves_alone_is_an_error(name, monkeypatch):
    class Alone:
        num_processes = 1
        distributed_type = "NO"

        def __init__(self, **options):
            self.options = options

    monkeypatch.setattr(devices, "Accelerator", Alone)
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
    settings = TrainConfig(device="auto")
    assert devices.open_accelerator(settings).options["cpu"] is False
    monkeypatch.setenv(name, "3")
    with pytest.raises(UsageError, match="one of 3 processes would train alone"):
        devices.open_accelerator(settings)


def test_processes_that_hold_parts_of_a_network_are_an_error(monkeypatch):
    class Sharded:
        num_processes = 1
        distributed_type = "FSDP"

        def __init__(self, **options):
            self.options = options

    monkeypatch.setattr(devices, "Accelerator", Sharded)
    with pytest.raises(UsageError, match=r"accelerate is set to use FSDP.* whole"):
        devices.open_accelerator(TrainConfig(device="cpu"))


def test_one_process_of_one_is_no_error(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    settings = TrainConfig(device="cpu")
    assert devices.open_accelerator(settings).num_processes == 1


@pytest.mark.slow
def test_two_processes_train_one_network_where_there_is_no_gpu(tmp_path):
    """A step takes the images of both, so an epoch has half as many; one speaks."""
    run = tmp_path / "run"
    launch = ("-m torch.distributed.run --nproc-per-node 2 --rdzv-backend c10d"
              " --rdzv-endpoint localhost:0")  # fmt: skip
    train = ("-m lilnetx_cli train --dataset digits --batch-size 320 --epochs 1"
             " --set train.calibration_images=64")  # fmt: skip
    done = subprocess.run(
        [sys.executable, *launch.split(), *train.split(), "-o", str(run)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("next: lilnetx compress") == 1
    lines = [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["event"], line["step"]) for line in lines] == [
        ("epoch", 2), ("final", 2),
    ]  # fmt: skip
