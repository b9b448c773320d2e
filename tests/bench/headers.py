"""What writing and estimating a small file takes: headers, tables, plans.

    python -m tests.bench.headers [--against CHECKOUT]

The file is that of a ResNet-20 at the start of a training run, which `lnx.estimate`
prices again and again. With another checkout of this project, both are measured in
turns, in processes of their own, on one core.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROUNDS = 3

MEASURE = """
import json, time
import torch
import lnx
from lilnetx_cli import models, reparameterize
from lilnetx_cli.checkpoint import capture, pack

def best(work):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)

torch.manual_seed(0)
arguments = {"channels": 3, "classes": 10}
model = reparameterize(models.build("resnet20", arguments), spread=0.3)
record = {"name": "resnet20", "args": arguments}
container = pack(capture(model, architecture=record))
print(json.dumps({
    "bytes": len(lnx.dumps(container)),
    "dumps": best(lambda: lnx.dumps(container)),
    "estimate": best(lambda: lnx.estimate(container)),
}))
"""


def measure(checkout: Path) -> dict[str, float]:
    """Return bytes of the file and least seconds of each call."""
    paths = os.pathsep.join([str(checkout), str(checkout / "formats")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        cwd=checkout, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def main() -> None:
    """Print a line for each checkout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout")
    other = parser.parse_args().against
    checkouts = [ROOT] if other is None else [other, ROOT]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found: dict[Path, list[dict[str, float]]] = {path: [] for path in checkouts}
    for _ in range(ROUNDS):
        for path in checkouts:
            found[path].append(measure(path))
    for path, rows in found.items():
        dumps, estimate = (min(r[key] for r in rows) for key in ("dumps", "estimate"))
        print(
            f"{path}: {rows[0]['bytes']:,} bytes, dumps {1000 * dumps:.1f} ms,"
            f" estimate {1000 * estimate:.1f} ms"
        )


if __name__ == "__main__":
    sys.exit(main())
