"""How long a forward pass takes on this machine, networks side by side."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

WARM_UP = 3
LEAST_RUNS = 5
MOST_RUNS = 1000

Run = Callable[[], object]


@dataclass(frozen=True)
class Latency:
    """Times of one network in milliseconds.

    Attributes:
        engine: what ran it, torch or onnxruntime.
        batch: images in a pass.
        threads: of the processor.
        median: of all passes.
        p95: nineteen of twenty passes took no longer.
        runs: how many passes were timed.
    """

    engine: str
    batch: int
    threads: int
    median: float
    p95: float
    runs: int


def measure_latency(
    runs: Sequence[Run], *, engine: str, batch: int, threads: int, seconds: float = 1.0
) -> list[Latency]:
    """Time functions in turns, so that a slow moment of the machine meets all of them.

    After a warm-up each runs for about so many seconds, five times at least.
    """
    for run in runs:
        for _ in range(WARM_UP):
            run()
    times: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + seconds * len(runs)
    while len(times[0]) < LEAST_RUNS or time.perf_counter() < end:
        for run, taken in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
        if len(times[0]) >= MOST_RUNS:
            break
    return [_describe(taken, engine, batch, threads) for taken in times]


def torch_runs(models: Sequence[nn.Module], images: Tensor) -> list[Run]:
    """Return functions that take images through networks in evaluation mode."""

    def runner(model: nn.Module) -> Run:
        device = next(model.parameters(), images).device
        given = images.to(device)

        def run() -> None:
            with torch.inference_mode():
                model(given)
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return run

    return [runner(model.eval()) for model in models]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch compute with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _describe(taken: list[float], engine: str, batch: int, threads: int) -> Latency:
    ordered = sorted(1e3 * seconds for seconds in taken)
    middle = len(ordered) // 2
    median = (ordered[middle] + ordered[-middle - 1]) / 2
    p95 = ordered[min(len(ordered) - 1, -(-95 * len(ordered) // 100) - 1)]
    return Latency(
        engine, batch, threads, round(median, 4), round(p95, 4), len(ordered)
    )
