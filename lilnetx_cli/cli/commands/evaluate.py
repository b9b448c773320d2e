"""`lilnetx evaluate`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
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
    Verbose,
    check_input,
    make_output,
    network_arguments,
)
from lilnetx_cli.errors import LilnetxError, UsageError, reason_of
from lnx.errors import printable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lilnetx_cli.data import Splits

# What is measured on test images; null without any.
ACCURACY = ("accuracy", "top5", "loss", "examples", "predictions")


def evaluate(
    file: Annotated[Path, typer.Argument(help="A .lnx file, or a checkpoint.")],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set to test on, see lilnetx models.",
            show_default="the one it was trained or calibrated on",
        ),
    ] = None,
    data_dir: DataDir = None,
    model: Model = None,
    model_arg: ModelArg = None,
    input_shape: InputShape = None,
    pruned: Annotated[
        bool,
        typer.Option(
            "--pruned", help="Measure the network without dead channels, too."
        ),
    ] = False,
    round_channels: RoundChannels = 1,
    latency: Annotated[
        bool,
        typer.Option("--latency/--no-latency", help="Time batches of 1 and 32."),
    ] = True,
    seconds: Annotated[
        float, typer.Option(min=0.01, max=600, help="Seconds for each timing.")
    ] = 1.0,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="Processor threads to time with.",
            show_default="what torch chooses",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", min=1, help="Images in a batch.")
    ] = 256,
    workers: Annotated[
        int,
        typer.Option("--workers", "-j", min=0, help="Extra processes that load data."),
    ] = 0,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure accuracy, MACs and time of a network.

    Accuracy needs a data set; where none is named or recorded, only the others are
    measured. With --pruned, the network without its dead channels is measured beside
    the dense one, and timed in turns with it.
    """
    check_input(file)
    arguments = network_arguments(model, model_arg)
    if round_channels > 1 and not pruned:
        raise UsageError("--round-channels needs --pruned")
    out = make_output(json, quiet, verbose)
    from lilnetx_cli.cli.loading import load_network, load_pruned, removal_lines
    from lilnetx_cli.models.inputs import InputForm, example_input, parse_form

    form = parse_form(input_shape) if input_shape is not None else None
    loaded = load_network(file, model, arguments)
    out.detail(f"read {file}: {len(loaded.network.state_dict())} tensors")
    name = dataset or _recorded({**(loaded.architecture or {}), **loaded.training})
    splits = _splits(name, data_dir)
    if form is None and splits is not None:
        form = InputForm((splits.channels, splits.size, splits.size))
    example = example_input(loaded.architecture, form, loaded.network)
    if splits is None:
        out.note(f"accuracy is not measured: {file} {_no_data(loaded.training)}")
    networks = [loaded.network]
    if pruned:
        smaller = load_pruned(file, loaded, form, round_channels)
        networks.append(smaller.model)
        for line in removal_lines(smaller):
            out.note(line)
    records = [
        dict.fromkeys(ACCURACY)
        if splits is None
        else _accuracy(network, splits, str(name), batch_size, workers, out)
        for network in networks
    ]
    _add_work(records, networks, example, latency, threads, seconds, out)
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
            "kept_channels": [asdict(kept) for kept in smaller.held],
            "max_abs_difference": smaller.max_abs_difference,
        }
    _check(record)
    out.result(record, *_lines(file, record))
    if not json:
        _table(record, out)


def _recorded(record: Mapping[str, Any]) -> str | None:
    """Return the data set that a file names, unless it is code of the user's own."""
    from lilnetx_cli.user_code import is_factory

    name = record.get("dataset")
    return name if isinstance(name, str) and not is_factory(name) else None


def _no_data(training: Mapping[str, Any]) -> str:
    name = training.get("dataset")
    if not isinstance(name, str):
        return "names no data set, add --dataset"
    made = f"was trained on {printable(name)}"
    return f"{made}, which a file may not run: name it with --dataset"


def _splits(name: str | None, folder: Path | None) -> "Splits | None":
    if name is not None:
        from lilnetx_cli.data import load_splits

        return load_splits(name, folder)
    if folder is not None:
        raise UsageError("--data-dir needs --dataset, which this file does not say")
    return None


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
            raise UsageError(
                f"the network does not take images of {printable(name)}:"
                f" {reason_of(error)}"
            ) from error
    return {key: getattr(measured, key) for key in ACCURACY}


def _add_work(
    records: list[dict[str, Any]],
    networks: "Sequence[nn.Module]",
    example: "Tensor",
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

    if example.is_floating_point():
        generator = torch.Generator().manual_seed(0)
        example = torch.randn(example.shape, generator=generator)
    for record, network in zip(records, networks, strict=True):
        try:
            record |= describe_work(network, example)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise UsageError(
                f"the network does not take inputs of shape {tuple(example.shape[1:])}:"
                f" {reason_of(error)}"
            ) from error
        record |= {"latency_ms": None, "latencies_ms": []}
    if not latency:
        return
    count = threads or torch.get_num_threads()
    out.detail(f"torch {torch.__version__}: timing with {count} threads")
    times, left_out = measure_all(networks, example, count, seconds)
    if left_out is not None:
        out.warn(f"not timed in onnxruntime: {left_out}")
    for record, entries in zip(records, times, strict=True):
        record |= latency_record(entries)


def _lines(file: Path, record: dict[str, Any]) -> list[str]:
    uncounted = ", ".join(record["uncounted_operations"]) or "nothing"
    right = "accuracy not measured"
    facts = [size_text(record["file_bytes"])]
    if record["accuracy"] is not None:
        right = (
            f"accuracy {100 * record['accuracy']:.2f} % of {record['examples']:,}"
            " test images"
        )
        facts.insert(0, f"loss {record['loss']:.4f}")
    times = record["latencies_ms"]
    facts += [
        f"{percent_text(record[key])} of the {name} zero"
        for key, name in (("slice_sparsity", "slices"), ("channel_sparsity", "filters"))
        if record[key] is not None
    ]
    return [
        f"{file}: {right}",
        f"  {', '.join(facts)}",
        *([f"  threads for the times: {times[0]['threads']}"] if times else []),
        f"  not counted in MACs: {uncounted}",
        "",
    ]


def _table(record: dict[str, Any], out: Output) -> None:
    """Print the dense network beside the pruned one."""
    columns = [record] + ([record["pruned"]] if "pruned" in record else [])
    rows = [
        ("accuracy", *(_accuracy_text(x["accuracy"]) for x in columns)),
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


def _accuracy_text(accuracy: float | None) -> str:
    return "-" if accuracy is None else f"{100 * accuracy:.2f} %"


def _ratio(title: str, record: dict[str, Any], number: int) -> str:
    """Return how much less the pruned network takes."""
    smaller = record["pruned"]
    if title == "accuracy":
        if record["accuracy"] is None:
            return "-"
        same = smaller["predictions"] == record["predictions"]
        return "predicted alike" if same else "DIFFERENT"
    if title in ("parameters", "MACs"):
        key = title.lower()
        return f"{record[key] / max(1, smaller[key]):.2f}x"
    pair = [x["latencies_ms"][number - 3]["median"] for x in (record, smaller)]
    return f"{pair[0] / pair[1]:.2f}x"


def _check(record: dict[str, Any]) -> None:
    """Fail where the pruned network predicts otherwise on the test images."""
    smaller = record.get("pruned")
    if smaller is None or record["accuracy"] is None:
        return
    apart = abs(smaller["accuracy"] - record["accuracy"])
    if smaller["predictions"] != record["predictions"] and apart > 0.001:
        error = LilnetxError("the pruned network predicts otherwise than the dense one")
        error.record = record
        raise error
