"""`lilnetx demo`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import lnx
from lilnetx_cli.cli.console import Output, percent_text, size_text
from lilnetx_cli.cli.contents import parts_text, zero_slices, zero_weights
from lilnetx_cli.cli.options import (
    Force,
    Json,
    Quiet,
    Stopwatch,
    Verbose,
    make_output,
)
from lilnetx_cli.errors import Interrupted, LilnetxError, UsageError
from lilnetx_cli.measure.parts import parts_of

if TYPE_CHECKING:
    from lilnetx_cli.config import RunConfig
    from lilnetx_cli.data import Splits

SETTINGS = {
    "model.name": "resnet20",
    "data.name": "digits",
    "target.size": 7_000,
    "train.epochs": 24,
    "train.batch_size": 64,
    "train.label_smoothing": 0.1,
    "train.device": "cpu",
}


def demo(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder to keep the files in.",
            show_default="none is kept",
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run the whole pipeline in about a minute.

    Train, compress, inspect, decompress and compare, on handwritten digits that come
    with the package, without a network connection.
    """
    out = make_output(json, quiet, verbose)
    if output is None:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="lilnetx-demo-") as folder:
            _tell(Path(folder), out)
        return
    if output.exists() and not output.is_dir():
        raise LilnetxError(f"output {str(output)!r} is a file, expected a folder")
    if not force and output.exists() and any(output.iterdir()):
        raise UsageError(
            f"output {str(output)!r} is not empty: -f replaces the run and the"
            " model.lnx in it"
        )
    output.mkdir(parents=True, exist_ok=True)
    _tell(output, out)
    out.note(f"the files are in {output}")


def _tell(folder: Path, out: Output) -> None:
    watch = Stopwatch()
    from lilnetx_cli.cli.loading import load_network
    from lilnetx_cli.config import resolve
    from lilnetx_cli.data import load_splits
    from lilnetx_cli.measure import measure_accuracy

    config = resolve(None, SETTINGS)
    splits = load_splits(config.data.name, None)
    out.note("1. train: accuracy, bytes and zero slices in one loss")
    trained = _train(config, splits, folder, out)
    before = measure_accuracy(load_network(trained, None, {}).network, splits.test)
    out.text(
        f"   ResNet-20 on {len(splits.train):,} digit images:"
        f" {100 * before.accuracy:.2f} % of {before.examples} test images correct"
    )
    out.note("2. compress: entropy-code the latents")
    path = folder / "model.lnx"
    about = _compress(trained, path)
    ratio = about.decoded_bytes / about.sizes.file
    out.text(
        f"   {size_text(about.decoded_bytes)} as float32 -> "
        f"{size_text(about.sizes.file)} whole file, {ratio:.0f} times smaller"
    )
    out.note("3. inspect: what is in the file")
    out.text(*_contents(about))
    out.note("4. decompress: rebuild the network from the file alone, and compare")
    after = measure_accuracy(load_network(path, None, {}).network, splits.test)
    record = {
        "dense_bytes": about.decoded_bytes,
        "lnx_bytes": about.sizes.file,
        "payload_bytes": about.sizes.payload,
        "slice_sparsity": zero_slices(about.tensors),
        "accuracy_trained": before.accuracy,
        "accuracy_decoded": after.accuracy,
        "predictions_equal": before.predictions == after.predictions,
        "seconds": watch.seconds,
    }
    if not record["predictions_equal"]:
        error = LilnetxError(
            "the predictions of the decoded network differ from those of the trained"
            " one"
        )
        error.record = record
        raise error
    out.result(
        record,
        f"   {100 * after.accuracy:.2f} % correct, every prediction equal;"
        f" {watch.seconds:.0f} s in total",
    )
    out.note("try yours: lilnetx train --dataset folder --data-dir IMAGES -o run")


def _train(config: "RunConfig", splits: "Splits", folder: Path, out: Output) -> Path:
    from lilnetx_cli.cli.progress import watched
    from lilnetx_cli.training import Stopped

    try:
        return watched(config, splits, folder, out, lines=False).checkpoint
    except Stopped:
        raise Interrupted("stopped") from None


def _compress(trained: Path, path: Path) -> lnx.Summary:
    from lilnetx_cli.checkpoint import load_checkpoint, pack

    lnx.save(pack(load_checkpoint(trained)), path)
    return lnx.summary(path)


def _contents(about: lnx.Summary) -> tuple[str, str]:
    return (
        f"   {parts_text(parts_of(about))}",
        f"   {percent_text(zero_weights(about.tensors))} of the weights are zero,"
        f" and {percent_text(zero_slices(about.tensors))} of the slices",
    )
