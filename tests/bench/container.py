"""The container beside zstd and NNCodec on the same tensors, in one run.

    python -m tests.bench.container [--weights 4] [--no-rivals]

Speeds are on one core, in million weights a second, file to float32 arrays and back,
every hash included; "numpy" is the reader without constriction. The rivals get an
environment of their own, .venv-rivals.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import lnx
from lnx import spec
from lnx.binary.source import Memory
from lnx.coding import range_coder
from lnx.coding.parallel import Coder
from lnx.parts.chunks import order_of
from lnx.parts.sections import SECTIONS, layouts_of
from lnx.read.decode import read_classes
from lnx.read.opening import open_source, read_chunk, stored_chunks
from tests.bench.networks import KINDS, Kind, make_network

ROOT = Path(__file__).parents[2]
REPEATS = 3


def one_core() -> None:
    """Keep this process, and those it starts, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def rivals_python() -> Path:
    """Return the interpreter of the rivals' environment, made if it is missing."""
    home = ROOT / ".venv-rivals"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        install = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*install, "numpy<2", "zstandard"], check=True)
        # Its coder needs numpy alone; its other dependencies are gigabytes.
        subprocess.run([*install, "--no-deps", "nncodec==2.1.3"], check=True)
    return python


def run_rivals(container: lnx.Container) -> dict[str, dict[str, float]]:
    """Measure the rivals on the integers of a container."""
    with tempfile.TemporaryDirectory() as folder:
        for number, tensor in enumerate(container.tensors):
            if isinstance(tensor, lnx.Latent):
                np.save(Path(folder, f"{number:03}.npy"), tensor.symbols)
        command = [rivals_python(), Path(__file__).with_name("rivals.py"), folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)


def best(work) -> float:
    """Return the least seconds of some runs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def run_lnx(container: lnx.Container, path: Path) -> dict[str, float]:
    """Measure the container with the coder that is installed."""
    encode = best(lambda: lnx.dumps(container))
    size = lnx.save(container, path)
    return {"bytes": size, "encode": encode, "decode": best(lambda: lnx.arrays(path))}


def without_constriction(container: lnx.Container, path: Path) -> dict[str, float]:
    """Measure the container with the coder that needs numpy alone."""
    kept, range_coder.constriction = range_coder.constriction, None
    range_coder.constriction_is_exact.cache_clear()
    try:
        return run_lnx(container, path)
    finally:
        range_coder.constriction = kept
        range_coder.constriction_is_exact.cache_clear()


def streams(path: Path) -> Iterator[tuple[int, float]]:
    """Yield bits and ideal bits under the tables of each stream of a file."""
    opened = open_source(Memory(path.read_bytes()), max_size=spec.DEFAULT_MAX_SIZE)
    with Coder() as coder:
        classes = read_classes(opened, coder)
    for kind in SECTIONS:
        layouts = layouts_of(kind, opened.header.records)
        start = opened.starts[kind.name]
        for place in stored_chunks(kind, opened.header, layouts, start):
            data = read_chunk(opened.source, kind, layouts, place)
            words = place.chunk.words * spec.WORD_BYTES
            order = order_of(layouts, place.parts, opened.tables, classes)
            (runs,) = range_coder.decode([(data[:words], order.runs)])
            ideal = 0.0
            for (table, _), symbols in zip(order.runs, runs, strict=True):
                shares = np.log2(table.frequencies) - table.bits
                ideal -= float(shares[table.indices(symbols)].sum())
            yield 8 * words, ideal


def describe_loss(path: Path) -> str:
    """Say what the coder and the parts of a file cost beyond the ideal."""
    found = list(streams(path))
    bits, ideal = sum(b for b, _ in found), sum(i for _, i in found)
    most = max(b - 1.001 * i for b, i in found)
    sizes = lnx.summary(path).sizes
    return (
        f"  {len(found)} streams, ends {(bits - ideal) / (8 * sizes.file):.2%} of the"
        f" file, at most 0.1 % + {most:.0f} bits over the ideal; overhead"
        f" {sizes.overhead / sizes.file:.2%}"
    )


def report(kind: Kind, weights: int, *, rivals: bool) -> None:
    """Measure one kind of network and print its part of the table."""
    container = make_network(kind, weights)
    held = [t for t in container.tensors if isinstance(t, lnx.Latent)]
    count = sum(t.symbols.size for t in held)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.lnx"
        rows = {"lnx, numpy": without_constriction(container, path)}
        if range_coder.constriction_is_exact():
            rows = {"lnx": run_lnx(container, path), **rows}
        loss = describe_loss(path)
    if rivals:
        rows |= run_rivals(container)
    base = next(iter(rows.values()))
    print(f"{kind.name}, {count / 1e6:.1f} M weights")
    for name, row in rows.items():
        print(
            f"  {name:<16}{row['bytes']:>10,} B {row['bytes'] / base['bytes']:>6.3f}"
            f"   encode {count / row['encode'] / 1e6:>6.1f} M/s"
            f" (lnx {row['encode'] / base['encode']:>5.1f}x)"
            f"   decode {count / row['decode'] / 1e6:>6.1f} M/s"
            f" (lnx {row['decode'] / base['decode']:>5.1f}x)"
        )
    print(loss, flush=True)


def main() -> None:
    """Measure every kind of network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=float, default=4, help="millions of them")
    parser.add_argument("--no-rivals", action="store_true")
    options = parser.parse_args()
    one_core()
    for kind in KINDS:
        report(kind, int(options.weights * 1e6), rivals=not options.no_rivals)


if __name__ == "__main__":
    sys.exit(main())
