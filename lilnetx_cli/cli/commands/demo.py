"""`lilnetx demo`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import lnx
from lilnetx_cli.cli.commands.compress import sizes_text
from lilnetx_cli.cli.console import Output, percent_text, size_text
from lilnetx_cli.cli.options import Json, Quiet, Stopwatch
from lilnetx_cli.errors import Interrupted, LilnetxError

if TYPE_CHECKING:
    from lilnetx_cli.config import RunConfig

SETTINGS = {
    "model.name": "resnet20",
    "data.name": "digits",
    "loss.rate_weight": 1.0,
    "loss.slice_weight": 2.0,
    "train.epochs": 24,
    "train.batch_size": 64,
    "train.label_smoothing": 0.1,
    "train.device": "cpu",
}


def demo(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Keep the files here.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train, compress, inspect, decompress and compare, on real digits, offline."""
    out = Output(json, quiet)
    if output is None:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="lilnetx-demo-") as folder:
            _tell(Path(folder), out)
        return
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise LilnetxError(f"output {str(output)!r} is not an empty folder")
    output.mkdir(parents=True, exist_ok=True)
    _tell(output, out)


def _tell(folder: Path, out: Output) -> None:
    watch = Stopwatch()
    from lilnetx_cli.cli.loading import load_network
    from lilnetx_cli.config import resolve
    from lilnetx_cli.data import load_splits
    from lilnetx_cli.measure import measure_accuracy

    config = resolve(None, SETTINGS)
    splits = load_splits(config.data.name, None)
    out.note("1. train: accuracy, bytes and zero slices in one loss")
    trained = _train(config, folder, out)
    out.note("2. compress: entropy-code the latents")
    path = folder / "model.lnx"
    from lilnetx_cli.checkpoint import load_checkpoint, pack

    lnx.save(pack(load_checkpoint(trained)), path)
    out.note("3. inspect: what is in the file")
    about = lnx.summary(path)
    out.note("4. decompress: rebuild the network from the file alone, and compare")
    before = measure_accuracy(load_network(trained, None, {}).network, splits.test)
    after = measure_accuracy(load_network(path, None, {}).network, splits.test)
    record = {
        "dense_bytes": about.decoded_bytes,
        "lnx_bytes": about.sizes.file,
        "payload_bytes": about.sizes.payload,
        "accuracy_trained": before.accuracy,
        "accuracy_decoded": after.accuracy,
        "predictions_equal": before.predictions == after.predictions,
        "seconds": watch.seconds,
    }
    ratio = about.decoded_bytes / about.sizes.file
    zeros = [t.slice_sparsity for t in about.tensors if t.slice_sparsity is not None]
    same = "every prediction equal" if record["predictions_equal"] else "DIFFERENT"
    out.result(
        record,
        f"dense state dict  {size_text(about.decoded_bytes)}",
        f".lnx whole file   {size_text(about.sizes.file)}  ({ratio:.0f}x smaller)",
        f"                  {sizes_text(about.sizes)}",
        f"trained           {100 * before.accuracy:.2f} % of the test digits",
        f"decoded           {100 * after.accuracy:.2f} %, {same}",
        f"zero slices       {percent_text(sum(zeros) / len(zeros))}, mean of layers",
        f"time              {watch.seconds:.0f} s",
    )
    if not record["predictions_equal"]:
        raise LilnetxError(
            "the decoded network predicts otherwise than the trained one"
        )


def _train(config: "RunConfig", folder: Path, out: Output) -> Path:
    from lilnetx_cli.cli.commands.train import planned_steps
    from lilnetx_cli.cli.progress import Watcher, polite_interrupt
    from lilnetx_cli.data import load_splits
    from lilnetx_cli.training import Stopped, run_training

    splits = load_splits(config.data.name, None)
    total = planned_steps(config, len(splits.train))
    with polite_interrupt() as interrupt, out.progress("training", total) as ticker:
        try:
            result = run_training(
                config,
                splits,
                folder,
                observer=Watcher(Output(quiet=True), ticker),
                should_stop=interrupt,
            )
        except Stopped:
            raise Interrupted("stopped") from None
    return result.checkpoint
