"""What `evaluate` measures of networks beside their accuracy."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lilnetx_cli.errors import LilnetxError
from lilnetx_cli.export.onnx import open_onnx, write_onnx
from lilnetx_cli.measure.latency import (
    Latency,
    Run,
    measure_latency,
    torch_runs,
    torch_threads,
)
from lilnetx_cli.measure.macs import count_macs

BATCHES = (1, 32)


def describe_work(network: nn.Module, example: Tensor) -> dict[str, Any]:
    """Return parameters, multiply-adds, and what was not counted of these."""
    work = count_macs(network, example)
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "macs": work.macs,
        "uncounted_operations": list(work.uncounted),
    }


def measure_all(
    networks: Sequence[nn.Module], example: Tensor, threads: int, seconds: float
) -> tuple[list[list[Latency]], str | None]:
    """Time networks in turns, at two batch sizes, in torch and in onnxruntime.

    Returns the times of each network, and why onnxruntime was left out, if it was.
    """

    def torch_at(images: Tensor) -> list[Run]:
        return torch_runs(networks, images)

    with torch_threads(threads):
        found = _times("torch", torch_at, example, threads, seconds)
    try:
        more = _time_onnx(networks, example, threads, seconds)
    except LilnetxError as error:
        return found, str(error)
    return [[*one, *two] for one, two in zip(found, more, strict=True)], None


def _times(
    engine: str,
    runs_at: Callable[[Tensor], list[Run]],
    example: Tensor,
    threads: int,
    seconds: float,
) -> list[list[Latency]]:
    """Time what one engine runs, at each batch size; a list for each network."""
    by_batch = [
        measure_latency(
            runs_at(example[:1].expand(batch, *example.shape[1:]).contiguous()),
            engine=engine,
            batch=batch,
            threads=threads,
            seconds=seconds,
        )
        for batch in BATCHES
    ]
    return [list(times) for times in zip(*by_batch, strict=True)]


def latency_record(entries: Sequence[Latency]) -> dict[str, Any]:
    """Return the first of a network's times, and all of them, for JSON."""
    first = asdict(entries[0])
    return {
        "latency_ms": {
            key: first[key] for key in ("median", "p95", "batch", "threads")
        },
        "latencies_ms": [asdict(entry) for entry in entries],
    }


def _time_onnx(
    networks: Sequence[nn.Module], example: Tensor, threads: int, seconds: float
) -> list[list[Latency]]:
    sessions = []
    with tempfile.TemporaryDirectory(prefix="lilnetx-") as folder:
        for number, network in enumerate(networks):
            path = Path(folder) / f"{number}.onnx"
            write_onnx(network, example, path)
            sessions.append(open_onnx(path, threads))

    def onnx_at(images: Tensor) -> list[Run]:
        array = images.numpy()
        return [partial(session, array) for session in sessions]

    return _times("onnxruntime", onnx_at, example, threads, seconds)
