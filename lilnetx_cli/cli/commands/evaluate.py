"""`lilnetx evaluate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lilnetx_cli.cli.console import Output, percent_text, size_text
from lilnetx_cli.cli.options import (
    DataDir,
    InputShape,
    Json,
    Model,
    ModelArg,
    Quiet,
    RoundChannels,
    check_input,
    network_arguments,
)
from lilnetx_cli.errors import LilnetxError, UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lilnetx_cli.data import Splits


def evaluate(
    file: Annotated[Path, typer.Argument(help="A .lnx file, or a checkpoint.")],
    dataset: Annotated[
        str | None, typer.Option(help="Default: the one it was trained on.")
    ] = None,
    data_dir: DataDir = None,
    model: Model = None,
    model_arg: ModelArg = None,
    input_shape: InputShape = None,
    pruned: Annotated[
        bool,
        typer.Option("--pruned", help="Beside it, without dead channels."),
    ] = False,
    round_channels: RoundChannels = 1,
    latency: Annotated[
        bool,
        typer.Option("--latency/--no-latency", help="Time batches of 1 and 32."),
    ] = True,
    seconds: Annotated[
        float, typer.Option(min=0.01, max=600, help="To spend on each time taken.")
    ] = 1.0,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Of the processor, for times.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", min=1, help="Images in a batch.")
    ] = 256,
    workers: Annotated[
        int, typer.Option("--workers", "-j", min=0, help="Processes that load data.")
    ] = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a network: accuracy on test images, multiply-adds, time of a pass.

    With --pruned the same is told of the network without its dead channels, which is
    timed in turns with the dense one.
    """
    check_input(file)
    arguments = network_arguments(model, model_arg)
    if round_channels > 1 and not pruned:
        raise UsageError("--round-channels needs --pruned")
    from lilnetx_cli.cli.loading import load_network, load_pruned
    from lilnetx_cli.data import load_splits
    from lilnetx_cli.models.inputs import parse_shape

    out = Output(json, quiet)
    loaded = load_network(file, model, arguments)
    name = dataset or loaded.training.get("dataset")
    if not isinstance(name, str):
        raise UsageError(f"{str(file)!r} does not say its data set: add --dataset")
    splits = load_splits(name, data_dir)
    shape = parse_shape(input_shape) if input_shape is not None else None
    if shape is None:
        shape = (splits.channels, splits.size, splits.size)
    networks = [loaded.network]
    if pruned:
        smaller = load_pruned(file, loaded, shape, round_channels, out)
        networks.append(smaller.model)
    records = [
        _accuracy(network, splits, name, batch_size, workers, out)
        for network in networks
    ]
    _add_work(records, networks, shape, latency, threads, seconds, out)
    record = {
        **records[0],
        "file_bytes": file.stat().st_size,
        "slice_sparsity": loaded.slice_sparsity,
        "channel_sparsity": loaded.channel_sparsity,
    }
    if pruned:
        record["pruned"] = {
            **records[1],
            "removed_channels": smaller.removed_channels,
            "max_abs_difference": smaller.max_abs_difference,
        }
    out.result(record, *_lines(file, record))
    if not json:
        _table(record, out)
    _check(record)


def _accuracy(
    network: "nn.Module",
    splits: "Splits",
    name: str,
    batch_size: int,
    workers: int,
    out: Output,
) -> dict[str, Any]:
    from lilnetx_cli.measure import measure_accuracy

    with out.progress("evaluating", len(splits.test)) as ticker:
        try:
            measured = measure_accuracy(
                network,
                splits.test,
                batch_size=batch_size,
                workers=workers,
                progress=ticker.move,
            )
        except (RuntimeError, IndexError) as error:
            reason = str(error).split("\n", maxsplit=1)[0]
            raise UsageError(
                f"the network does not take images of {name!r}: {reason}"
            ) from error
    return {
        "accuracy": measured.accuracy,
        "top5": measured.top5,
        "loss": measured.loss,
        "examples": measured.examples,
        "predictions": measured.predictions,
    }


def _add_work(
    records: list[dict[str, Any]],
    networks: "Sequence[nn.Module]",
    shape: tuple[int, ...],
    latency: bool,
    threads: int | None,
    seconds: float,
    out: Output,
) -> None:
    """Add multiply-adds and times to the records of networks."""
    import torch

    from lilnetx_cli.measure.side_by_side import (
        describe_work,
        latency_record,
        measure_all,
    )

    example: Tensor = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    for record, network in zip(records, networks, strict=True):
        record |= describe_work(network, example)
        record |= {"latency_ms": None, "latencies_ms": []}
    if not latency:
        return
    count = threads or torch.get_num_threads()
    times, left_out = measure_all(networks, example, count, seconds)
    if left_out is not None:
        out.warn(f"not timed in onnxruntime: {left_out}")
    for record, entries in zip(records, times, strict=True):
        record |= latency_record(entries)


def _lines(file: Path, record: dict[str, Any]) -> list[str]:
    uncounted = ", ".join(record["uncounted_operations"]) or "nothing"
    times = record["latencies_ms"]
    zeros = [
        f"{percent_text(record[key])} of the {name} zero"
        for key, name in (("slice_sparsity", "slices"), ("channel_sparsity", "filters"))
        if record[key] is not None
    ]
    facts = [f"loss {record['loss']:.4f}", size_text(record["file_bytes"]), *zeros]
    return [
        f"{file}: accuracy {100 * record['accuracy']:.2f} % of {record['examples']:,}"
        " test images",
        f"  {', '.join(facts)}",
        *([f"  threads for the times: {times[0]['threads']}"] if times else []),
        f"  not counted in MACs: {uncounted}",
        "",
    ]


def _table(record: dict[str, Any], out: Output) -> None:
    """Print the dense network beside the pruned one."""
    columns = [record] + ([record["pruned"]] if "pruned" in record else [])
    rows = [
        ("accuracy", *(f"{100 * x['accuracy']:.2f} %" for x in columns)),
        ("parameters", *(f"{x['parameters']:,}" for x in columns)),
        ("MACs", *(f"{x['macs']:,}" for x in columns)),
    ]
    for number, entry in enumerate(record["latencies_ms"]):
        title = f"{entry['engine']}, batch {entry['batch']}"
        times = [x["latencies_ms"][number] for x in columns]
        rows.append((title, *(_time_text(time) for time in times)))
    titles = ["", "dense", "pruned"][: 1 + len(columns)]
    if len(columns) == 2:
        titles.append("ratio")
        rows = [
            (*row, _ratio(row[0], record, number)) for number, row in enumerate(rows)
        ]
    out.table(titles, rows)


def _time_text(entry: dict[str, Any]) -> str:
    return f"{_short(entry['median'])} ms, p95 {_short(entry['p95'])}"


def _short(time: float) -> str:
    """Return milliseconds with no more digits than a timing has."""
    return f"{time:.{2 if time < 10 else 1 if time < 100 else 0}f}"


def _ratio(title: str, record: dict[str, Any], number: int) -> str:
    """Return how much less the pruned network takes."""
    smaller = record["pruned"]
    if title == "accuracy":
        same = smaller["predictions"] == record["predictions"]
        return "predicted alike" if same else "DIFFERENT"
    if title in ("parameters", "MACs"):
        key = title.lower()
        return f"{record[key] / max(1, smaller[key]):.2f}x"
    pair = [x["latencies_ms"][number - 3]["median"] for x in (record, smaller)]
    return f"{pair[0] / pair[1]:.2f}x"


def _check(record: dict[str, Any]) -> None:
    """Fail where the pruned network predicts otherwise on the test images."""
    if "pruned" not in record:
        return
    apart = abs(record["pruned"]["accuracy"] - record["accuracy"])
    if record["pruned"]["predictions"] != record["predictions"] and apart > 0.001:
        raise LilnetxError("the pruned network predicts otherwise than the dense one")
