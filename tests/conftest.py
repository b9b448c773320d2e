"""What all tests share."""

import os
import signal

# One thread a process: the test processes share the cores, and sums of float32 come in
# one order. It is set before torch is imported, and child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure():
    """Let Ctrl-C interrupt tests: what runs in the background of a shell ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
