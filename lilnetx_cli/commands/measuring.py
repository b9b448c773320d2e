"""What `evaluate` measures of networks beside their accuracy."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lilnetx_cli.errors import LilnetxError
from lilnetx_cli.export.onnx import open_onnx, write_onnx
from lilnetx_cli.measure.latency import (
    Latency,
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
    found: list[list[Latency]] = [[] for _ in networks]
    with torch_threads(threads):
        for batch in BATCHES:
            images = _images(example, batch)
            timed = measure_latency(
                torch_runs(networks, images),
                engine="torch",
                batch=batch,
                threads=threads,
                seconds=seconds,
            )
            for entries, one in zip(found, timed, strict=True):
                entries.append(one)
    try:
        _time_onnx(networks, example, threads, seconds, found)
    except LilnetxError as error:
        return found, str(error)
    return found, None


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
    networks: Sequence[nn.Module],
    example: Tensor,
    threads: int,
    seconds: float,
    found: list[list[Latency]],
) -> None:
    with tempfile.TemporaryDirectory(prefix="lilnetx-") as folder:
        sessions = []
        for number, network in enumerate(networks):
            path = Path(folder) / f"{number}.onnx"
            write_onnx(network, example, path)
            sessions.append(open_onnx(path, threads))
        for batch in BATCHES:
            array = _images(example, batch).numpy()
            timed = measure_latency(
                [lambda s=session, a=array: s(a) for session in sessions],  # type: ignore[misc]
                engine="onnxruntime",
                batch=batch,
                threads=threads,
                seconds=seconds,
            )
            for entries, one in zip(found, timed, strict=True):
                entries.append(one)


def _images(example: Tensor, batch: int) -> Tensor:
    return example[:1].expand(batch, *example.shape[1:]).contiguous()
