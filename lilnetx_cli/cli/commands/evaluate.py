"""`lilnetx evaluate`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lilnetx_cli.cli.evaluated_text import lines_of, table_of
from lilnetx_cli.cli.evaluating import (
    Timing,
    add_work,
    check_alike,
    data_notes,
    example_of,
    loaded_with_examples,
    qualities,
    split_notes,
)
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
from lilnetx_cli.errors import UsageError
from lilnetx_cli.user_code import check_function


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
    metric: Annotated[
        str | None,
        typer.Option(
            help="Function, path/file.py:name, that takes the network and the loader of"
            " the test split (None without a data set) and returns a dict of numbers,"
            " in place of accuracy.",
            show_default="accuracy",
        ),
    ] = None,
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
            help="CPU threads to use for timing.",
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

    Accuracy needs a data set; if none is named or recorded, only MACs and time are
    measured. --metric measures anything else. With --pruned, the network without its
    dead channels is measured too, and both are timed alternately.
    """
    check_input(file)
    arguments = network_arguments(model, model_arg)
    if round_channels > 1 and not pruned:
        raise UsageError("--round-channels needs --pruned")
    if metric is not None:
        check_function(metric)
    out = make_output(json, quiet, verbose)
    from lilnetx_cli.cli.loading import load_pruned, removal_lines
    from lilnetx_cli.measure.metric import Metric
    from lilnetx_cli.models.inputs import InputForm, parse_form

    form = parse_form(input_shape) if input_shape is not None else None
    judge = Metric(metric) if metric is not None else None
    loaded, examples = loaded_with_examples(
        file, (model, arguments), (dataset, data_dir), batch_size, workers
    )
    out.detail(f"read {file}: {len(loaded.network.state_dict())} tensors")
    if form is None and examples is not None:
        splits = examples.splits
        form = InputForm((splits.channels, splits.size, splits.size))
    example = example_of(
        loaded.architecture, form, loaded.network, needed=judge is None or pruned
    )
    measured = examples is not None or judge is not None
    notes = data_notes(file, loaded.training, dataset, measured=measured)
    for note in (*notes, *split_notes(examples)):
        out.note(note)
    networks = [loaded.network]
    if pruned:
        smaller = load_pruned(file, loaded, form, round_channels)
        networks.append(smaller.model)
        for line in removal_lines(smaller):
            out.note(line)
    records = qualities(networks, examples, judge, out)
    add_work(records, networks, example, Timing(latency, threads, seconds), out)
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
    check_alike(record)
    if example is None:
        out.note("MACs and time are not measured: add --input-shape")
    out.result(record, *lines_of(file, record))
    if not json:
        out.table(*table_of(record))
