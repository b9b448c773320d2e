"""`lilnetx evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from lilnetx_cli.commands.options import (
    DataDir,
    Json,
    ModelArg,
    Quiet,
    check_input,
    parse_model_args,
)
from lilnetx_cli.console import Output, percent_text, size_text
from lilnetx_cli.errors import UsageError


def evaluate(
    file: Annotated[Path, typer.Argument(help="A .lnx file, or a checkpoint.")],
    dataset: Annotated[
        str | None, typer.Option(help="Default: the one it was trained on.")
    ] = None,
    data_dir: DataDir = None,
    model: Annotated[
        str | None, typer.Option(help="The network, where the file does not say.")
    ] = None,
    model_arg: ModelArg = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", min=1, help="Images in a batch.")
    ] = 256,
    workers: Annotated[
        int, typer.Option("--workers", "-j", min=0, help="Processes that load data.")
    ] = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure the accuracy of a network on the test images of a data set."""
    check_input(file)
    arguments = parse_model_args(model_arg)
    from lilnetx_cli.commands.loading import load_network
    from lilnetx_cli.data import load_splits
    from lilnetx_cli.measure import measure_accuracy

    loaded = load_network(file, model, arguments)
    name = dataset or loaded.training.get("dataset")
    if not isinstance(name, str):
        raise UsageError(f"{str(file)!r} does not say its data set: add --dataset")
    splits = load_splits(name, data_dir)
    out = Output(json, quiet)
    with out.progress("evaluating", len(splits.test)) as ticker:
        try:
            measured = measure_accuracy(
                loaded.network,
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
    parameters = sum(p.numel() for p in loaded.network.parameters())
    record = {
        "accuracy": measured.accuracy,
        "top5": measured.top5,
        "loss": measured.loss,
        "examples": measured.examples,
        "predictions": measured.predictions,
        "file_bytes": file.stat().st_size,
        "parameters": parameters,
        "macs": None,
        "uncounted_operations": None,
        "slice_sparsity": loaded.slice_sparsity,
        "channel_sparsity": None,
        "latency_ms": None,
    }
    out.result(
        record,
        f"{file}: accuracy {100 * measured.accuracy:.2f} % of {measured.examples:,}"
        f" test images, loss {measured.loss:.4f}, {size_text(file.stat().st_size)},"
        f" {parameters:,} parameters,"
        f" {percent_text(loaded.slice_sparsity)} of the slices zero",
    )
