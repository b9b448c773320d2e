"""One training step, reparameterized against plain, as a ratio in one run.

    python -m tests.bench.step [--size 28] [--batch 128] [--precision bf16]
                               [--device cuda]

Steps of both kinds alternate, so that a slow moment of the machine meets both. Batch
norms are gated and the penalty acts at every fourth step, as in a run: a ratio is one
of four steps to four. Memory is that of a process of its own for each kind: its
peak, less what it had when torch was imported; on CUDA, the peak of what is allocated.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from lilnetx_cli.models import build
from lilnetx_cli.nn import density_parameters, penalty, reparameterize
from lilnetx_cli.nn.gating import gate_dead_filters
from lilnetx_cli.training.steering import PENALTY_EVERY


def stepper(reparameterized: bool, options: argparse.Namespace) -> Callable[[], float]:
    """Return a function that takes one step and gives its seconds."""
    torch.manual_seed(0)
    model = build(options.model, {"channels": options.channels, "classes": 10})
    images = torch.randn(options.batch, options.channels, options.size, options.size)
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (options.batch,))
    if reparameterized:
        reparameterize(model, start="random")
        gate_dead_filters(model, lambda net: net(images[:2]))
    model, images, labels = (x.to(options.device) for x in (model, images, labels))
    densities = density_parameters(model)
    apart = {id(p) for p in densities}
    rest = [p for p in model.parameters() if id(p) not in apart]
    optimizers = [torch.optim.Adam(rest, 0.01)]
    if densities:
        optimizers.append(torch.optim.Adam(densities, 0.01))
    half, count = options.precision == "bf16", 0

    def step() -> float:
        nonlocal count
        wait(options)
        start = time.perf_counter()
        with torch.autocast(options.device, torch.bfloat16, enabled=half):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        if reparameterized and count % PENALTY_EVERY == 0:
            loss = loss + PENALTY_EVERY * penalty(model).total
        count += 1
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        wait(options)
        return time.perf_counter() - start

    return step


def wait(options: argparse.Namespace) -> None:
    """Wait until the device has done what it was given."""
    if options.device == "cuda":
        torch.cuda.synchronize()


def peak_kilobytes(options: argparse.Namespace) -> int:
    """Return the largest resident size of this process so far, or that on the GPU."""
    if options.device == "cuda":
        return torch.cuda.max_memory_allocated() // 1000
    status = Path("/proc/self/status")
    if status.exists():  # a child of a large process inherits the other figure
        fields = dict(x.split(":", 1) for x in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def memory(kind: str) -> int:
    """Return the kilobytes that two steps of a kind add, in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--alone", kind]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout)


def main() -> None:
    """Print medians and the median ratio of neighbouring pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--steps", type=int, default=40, help="4 or more")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--alone", choices=("plain", "latents"), help="peak memory")
    options = parser.parse_args()
    if options.alone:
        before, step = (
            peak_kilobytes(options),
            stepper(options.alone == "latents", options),
        )
        step()
        step()
        print(peak_kilobytes(options) - before)
        return
    plain, latent = stepper(False, options), stepper(True, options)
    for _ in range(3):
        plain()
        latent()
    pairs = [
        (plain(), latent())
        for _ in range(options.steps - options.steps % PENALTY_EVERY)
    ]
    ratios = sorted(
        sum(after for _, after in four) / sum(before for before, _ in four)
        for four in zip(*[iter(pairs)] * PENALTY_EVERY, strict=True)
    )
    print(f"{options.model}, batch {options.batch}, {options.size} px,"
          f" {options.precision}, {torch.get_num_threads()} threads")  # fmt: skip
    print(f"plain step     {statistics.median(p for p, _ in pairs) * 1e3:.1f} ms")
    print(
        f"with latents   {statistics.fmean(q for _, q in pairs) * 1e3:.1f} ms, a mean"
    )
    print(f"ratio          {statistics.median(ratios):.3f}"
          f" (quartiles {ratios[len(ratios) // 4]:.3f} to"
          f" {ratios[3 * len(ratios) // 4]:.3f})")  # fmt: skip
    kilobytes = [memory(kind) for kind in ("plain", "latents")]
    plain_mb, latent_mb = (count / 1e3 for count in kilobytes)
    print(f"memory         {plain_mb:.0f} MB plain, {latent_mb:.0f} MB"
          f" with latents, ratio {latent_mb / plain_mb:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
