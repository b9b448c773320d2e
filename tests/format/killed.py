"""Kill writers at random moments: python -m tests.format.killed [COUNT] [SEED]

A writer saves one of two files over the other, again and again; after each kill, the
target must be one of them, to the byte, and what else lies about is removed.
"""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import lnx
from tests.format.making import ENVIRONMENT, small_container

WRITER = """
import sys
import lnx
from tests.format.making import small_container
from tests.format.killed import large_container
while True:
    for container in (small_container(), large_container()):
        lnx.save(container, sys.argv[1])
        print("saved", flush=True)
"""


def large_container():
    """Return a container whose file takes some milliseconds to write."""
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, 3_000_000, dtype=np.uint8)
    return lnx.Container((lnx.Exact("noise", lnx.DType.U8, data.shape, data),))


def kill_one(target, pause):
    """Start a writer, wait for its first file and a pause, and kill it."""
    command = [sys.executable, "-c", WRITER, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as writer:
        writer.stdout.readline()
        time.sleep(pause)
        writer.kill()


def run(count, seed, folder):
    """Kill count writers; raises SystemExit where one left a damaged file."""
    rng = random.Random(seed)
    whole = {lnx.dumps(small_container()), lnx.dumps(large_container())}
    target = Path(folder) / "m.lnx"
    for number in range(count):
        kill_one(target, rng.random() * 0.2)
        if target.read_bytes() not in whole:
            raise SystemExit(f"writer {number} of seed {seed} left a damaged file")
        for left in target.parent.glob(".lnx-*"):
            left.unlink()


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as name:
        run(wanted, int(sys.argv[2]) if len(sys.argv) > 2 else 0, name)
    sys.stdout.write(f"{wanted} writers killed, no damaged file\n")
