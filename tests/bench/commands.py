"""Whole commands: seconds of inspect, and peak memory of decompress.

    python -m tests.bench.commands [--inspect 25] [--decompress 100]

Both numbers are millions of weights. Seconds are the difference to an interpreter that
imports what inspect needs, runs of both alternating; memory is what the system counts
for the process, its coding processes left out.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lnx
from tests.bench.networks import TWO_BITS, make_network

LILNETX = [str(Path(sys.executable).with_name("lilnetx"))]
BASE = [sys.executable, "-c", "import typer, rich.table, numpy"]
REPEATS = 15
ALLOWED = 200e6


def seconds(command: list[str]) -> float:
    """Return the wall time of a command."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def measure_inspect(folder: Path, weights: int) -> None:
    """Print how long inspect takes beside the imports that it cannot do without."""
    path = folder / "inspect.lnx"
    size = lnx.save(make_network(TWO_BITS, weights), path)
    command = [*LILNETX, "inspect", str(path)]
    pairs = [(seconds(BASE), seconds(command)) for _ in range(REPEATS)]
    base, whole = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(
        f"inspect of {weights / 1e6:.0f} M weights, {size / 1e6:.1f} MB:"
        f" {whole:.3f} s, imports alone {base:.3f} s, difference {whole - base:.3f} s"
    )


def torch_bytes() -> int:
    """Return the resident size of an interpreter that imports torch."""
    code = "import torch, resource as r; print(r.getrusage(r.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)


def measure_decompress(folder: Path, weights: int, jobs: int) -> None:
    """Print the peak of decompress beside what the model itself needs."""
    path = folder / "decompress.lnx"
    if not path.exists():
        lnx.save(make_network(TWO_BITS, weights), path)
    about = lnx.summary(path)
    largest = max(4 * tensor.elements for tensor in about.tensors)
    for suffix, base in ((".safetensors", 0), (".pt", torch_bytes())):
        command = [*LILNETX, "decompress", str(path), "-f", "--json", "-j", str(jobs)]
        done = subprocess.run(
            [*command, "-o", str(folder / f"out{suffix}")],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        peak = json.loads(done.stdout)["peak_rss_bytes"]
        allowed = about.decoded_bytes + largest + ALLOWED + base
        print(
            f"decompress of {weights / 1e6:.0f} M weights to {suffix}, {jobs} jobs:"
            f" peak {peak / 1e6:.0f} MB; model {about.decoded_bytes / 1e6:.0f}"
            f" + largest tensor {largest / 1e6:.0f} + torch {base / 1e6:.0f} + 200"
            f" = {allowed / 1e6:.0f} MB"
        )


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inspect", type=float, default=25)
    parser.add_argument("--decompress", type=float, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure_inspect(Path(name), int(options.inspect * 1e6))
        for jobs in (1, 2):
            measure_decompress(Path(name), int(options.decompress * 1e6), jobs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"(the benchmark itself: {peak / 1e3:.0f} MB)")


if __name__ == "__main__":
    main()
