"""Throughput of several processes over one, and where the time of a step goes.

    python -m tests.bench.processes [--processes 2] [--rounds 3]

Rounds of one process and of several alternate, so that a slow moment of the machine
meets both; figures are medians. In each process whole steps alternate with steps that
keep their gradients to themselves, whose lack is the share of communication, waiting
for the other process included, and with the penalty and its gradients alone. One thread
a process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from lilnetx_cli.config import TrainConfig
from lilnetx_cli.models import build
from lilnetx_cli.nn import density_parameters, penalty, reparameterize
from lilnetx_cli.nn.gating import gate_dead_filters
from lilnetx_cli.nn.latents import latent_weights
from lilnetx_cli.training.devices import open_accelerator, wrap

WHOLE, SILENT, PENALTY = KINDS = ("whole", "silent", "penalty")


def stepper(options: argparse.Namespace) -> Callable[[str], float]:
    """Return a function that takes a step of a kind and gives its seconds."""
    accelerator = open_accelerator(TrainConfig(device="cpu"))
    torch.manual_seed(0)
    model = build(options.model, {"channels": options.channels, "classes": 10})
    images = torch.randn(options.batch, options.channels, options.size, options.size)
    labels = torch.randint(0, 10, (options.batch,))
    reparameterize(model, start="random")
    gate_dead_filters(model, lambda net: net(images[:2]))
    forward = wrap(model, accelerator, compile_it=False)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    shared = accelerator.num_processes > 1
    parameters = [*latents_and_densities(model)]

    def step(kind: str) -> float:
        if shared:
            dist.barrier()
        start = time.perf_counter()
        if kind == PENALTY:
            torch.autograd.grad(penalty(model).total, parameters)
            return time.perf_counter() - start
        with forward.no_sync() if shared and kind == SILENT else nullcontext():
            loss = F.cross_entropy(forward(images), labels) + penalty(model).total
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - start

    return step


def latents_and_densities(model: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters that the penalty presses."""
    for _, _, latent in latent_weights(model):
        yield latent
    yield from density_parameters(model)


def member(options: argparse.Namespace) -> None:
    """Take the steps of one process; the first one prints their seconds."""
    torch.set_num_threads(1)
    step = stepper(options)
    for kind in KINDS * 2:
        step(kind)
    seconds = {kind: [] for kind in KINDS}
    for _ in range(options.steps):
        for kind in KINDS:
            seconds[kind].append(step(kind))
    if os.environ["RANK"] == "0":
        print(json.dumps({k: statistics.median(v) for k, v in seconds.items()}))


def measured(processes: int) -> dict[str, float]:
    """Return the seconds of a step of each kind in some processes."""
    launch = ["-m", "torch.distributed.run", "--standalone",
              f"--nproc-per-node={processes}"]  # fmt: skip
    command = [sys.executable, *launch, "-m", "tests.bench.processes", *sys.argv[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--member"], check=True, capture_output=True, text=True,
        timeout=600, env=environment,
    )  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))


def print_shares(rounds: Sequence[dict[str, float]], count: int) -> None:
    """Print which parts of a step the penalty and communication are."""
    pressed = statistics.median(r[PENALTY] / r[WHOLE] for r in rounds)
    sent = statistics.median(1 - r[SILENT] / r[WHOLE] for r in rounds)
    print(f"{count} at a time: step {1e3 * rounds[0][WHOLE]:.0f} ms,"
          f" {100 * pressed:.1f} % in the penalty,"
          f" {100 * sent:.1f} % in communication")  # fmt: skip


def main() -> None:
    """Print the table, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--batch", type=int, default=64, help="of each process")
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--member", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.member:
        member(options)
        return
    counts = (1, options.processes)
    rounds = [[measured(count) for count in counts] for _ in range(options.rounds)]
    gains = [counts[1] * a[WHOLE] / b[WHOLE] for a, b in rounds]
    print(f"{options.model}, {options.size} px, batch {options.batch} a process")
    print(f"throughput of {counts[1]} processes over 1: {statistics.median(gains):.2f}"
          f" ({min(gains):.2f} to {max(gains):.2f})")  # fmt: skip
    for count, seconds in zip(counts, zip(*rounds, strict=True), strict=True):
        print_shares(seconds, count)


if __name__ == "__main__":
    main()
