"""Start runs of several processes, and leave none behind."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
LIMIT = 240  # seconds; a machine that does much else is slow
NOT_OURS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_PORT")


TORCHRUN = "torch.distributed.run --standalone --nproc-per-node={}"
ACCELERATE = (  # on CPUs, where the run asks for these
    "accelerate.commands.accelerate_cli launch --multi_gpu --num_processes={}"
    " --num_machines=1 --mixed_precision=no --dynamo_backend=no --main_process_port=0"
)


class Launch:
    """Processes of a run, as a context manager that ends them all."""

    def __init__(self, processes, *arguments, by=TORCHRUN):
        environment = {k: v for k, v in os.environ.items() if k not in NOT_OURS}
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115
        launch = by.format(processes).split()
        self.launcher = subprocess.Popen(
            [sys.executable, "-m", *launch, "-m", *map(str, arguments)],
            env={**environment, **ENVIRONMENT},
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._members = set()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.members()
        for pid in (self.launcher.pid, *self._members):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.launcher.wait()
        self._output.close()

    def members(self):
        """Return the ids of the processes of the run that are alive."""
        known = Path(f"/proc/{self.launcher.pid}/task/{self.launcher.pid}/children")
        alive = sorted(map(int, known.read_text().split())) if known.exists() else []
        self._members.update(alive)
        return alive

    def wait(self, limit=LIMIT):
        """Return the exit code, and what all processes said."""
        until = time.monotonic() + limit
        while self.launcher.poll() is None and time.monotonic() < until:
            self.members()
            time.sleep(0.05)
        self._output.seek(0)
        said = self._output.read()
        assert self.launcher.returncode is not None, f"no end in {limit} s:\n{said}"
        return self.launcher.returncode, said

    def wait_for(self, found, limit=LIMIT):
        """Wait until found() holds."""
        until = time.monotonic() + limit
        while not found():
            assert self.launcher.poll() is None, self.wait()
            assert time.monotonic() < until, f"not found in {limit} s"
            self.members()
            time.sleep(0.02)


def launch(processes, *arguments, by=TORCHRUN):
    """Run a module in several processes; return the exit code and what they said."""
    with Launch(processes, *arguments, by=by) as started:
        return started.wait()
