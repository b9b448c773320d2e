"""What all tests share."""

import os

# One thread a process: the test processes share the cores, and sums of float32 come in
# one order. It is set before torch is imported, and child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
