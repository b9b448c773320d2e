"""`lilnetx train`."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lilnetx_cli.cli.console import Output, percent_text, size_text
from lilnetx_cli.cli.options import (
    DataDir,
    Force,
    Json,
    ModelArg,
    Quiet,
    Verbose,
    check_input,
    make_output,
    parse_model_args,
    parse_size,
)
from lilnetx_cli.cli.run_folder import MAY_CHANGE, check_folder, read_run
from lilnetx_cli.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from lilnetx_cli.config import RunConfig
    from lilnetx_cli.training import RunResult

DEFAULT_FOLDER = Path("run")
FEW_STEPS = 500  # in which networks do not recover from becoming small


def train(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the files of the run.")
    ] = DEFAULT_FOLDER,
    model: Annotated[
        str | None, typer.Option(help="Name of the network, see lilnetx models.")
    ] = None,
    model_arg: ModelArg = None,
    pretrained: Annotated[
        bool,
        typer.Option(
            "--pretrained",
            help="Start from trained weights of torchvision or timm.",
        ),
    ] = False,
    init: Annotated[
        Path | None,
        typer.Option(
            help="Start from the weights of this model.pt or .lnx file.",
            show_default="random weights",
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Name of the data set, see lilnetx models.")
    ] = None,
    data_dir: DataDir = None,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="Train without latents or the penalty; --lr then defaults to 0.005.",
        ),
    ] = False,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training images.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", "-b", help="Images in a batch.")
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate of latents; by default lower (0.02) from trained"
            " weights and with --target-macs."
        ),
    ] = None,
    target_size: Annotated[
        str | None,
        typer.Option(
            help="End with a file of at most this size, such as 10kB.",
            show_default="none",
        ),
    ] = None,
    target_ratio: Annotated[
        float | None,
        typer.Option(
            help="End with a file this many times smaller than the dense network.",
            show_default="none",
        ),
    ] = None,
    target_macs: Annotated[
        float | None,
        typer.Option(
            help="End with this share of the MACs, such as 0.5, once dead"
            " channels are removed.",
            show_default="none",
        ),
    ] = None,
    target_latency: Annotated[
        float | None,
        typer.Option(
            help="End with this share of the time of the dense network, such as 0.6,"
            " for a batch of 32 in torch on this machine.",
            show_default="none",
        ),
    ] = None,
    round_channels: Annotated[
        int | None,
        typer.Option(
            help="With --target-macs or --target-latency, keep channel counts at"
            " multiples of this, such as 8."
        ),
    ] = None,
    sweep: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=16,
            metavar="COUNT",
            help=(
                "Train this many sizes, each half the previous one, starting at"
                " --target-size or a 40th of the dense network, and compare them with"
                " the compressed plain network. With --target-macs, each run also has"
                " that share of the previous run's MACs."
            ),
            show_default="one run",
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="Distill from this trained network, a model.pt or .lnx file.",
            show_default="none",
        ),
    ] = None,
    rate_weight: Annotated[
        float | None, typer.Option(help="Loss for one bit per weight.")
    ] = None,
    slice_weight: Annotated[
        float | None,
        typer.Option(help="Loss for a mean slice norm of one quantization step."),
    ] = None,
    channel_weight: Annotated[
        float | None,
        typer.Option(
            help="Loss for channels whose latents have an RMS of one quantization step."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of all random numbers.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Where to train.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="Precision of the network; latents stay in fp32."),
    ] = None,
    channels_last: Annotated[
        bool,
        typer.Option(
            "--channels-last", help="Memory layout that most CPUs and GPUs run faster."
        ),
    ] = False,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the network with torch.compile.")
    ] = False,
    accumulate: Annotated[
        int | None, typer.Option(help="Batches in one optimizer step.")
    ] = None,
    clip_grad: Annotated[
        float | None,
        typer.Option(help="Largest norm of the gradient.", show_default="no limit"),
    ] = None,
    ema: Annotated[
        float | None,
        typer.Option(
            help="Ship a moving average of the weights with this decay, such as 0.999.",
            show_default="none",
        ),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(
            help="End the run after this many steps.", show_default="all epochs"
        ),
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(
            help=(
                "Also log metrics to tensorboard, wandb, or another tracker that"
                " accelerate supports."
            ),
            show_default="none",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-j", help="Extra processes that load data."),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="[PATH]",
            help="Resume the run in --output, or from this resume.pt.",
            show_default="start a new run",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="TOML file with settings.", show_default="none"
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Any setting. May be repeated.",
            show_default="none",
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a network to be accurate and small in one run.

    The run writes model.pt (the network that ships), config.toml (all settings),
    metrics.jsonl, curves.png and resume.pt (for --resume); --sweep writes a folder of
    runs, front.csv and front.png. Options override the file of --config, which
    overrides the defaults. Ctrl-C stops after the current step.
    """
    out = make_output(json, quiet, verbose)
    if not _speaks():
        out = Output(quiet=True)
    given: dict[str, Any] = {
        "model.name": model,
        "model.pretrained": pretrained or None,
        "model.init": init,
        "data.name": dataset,
        "data.dir": data_dir,
        "data.workers": workers,
        "target.size": None if target_size is None else parse_size(target_size),
        "target.ratio": target_ratio,
        "target.macs": target_macs,
        "target.latency": target_latency,
        "target.round_channels": round_channels,
        "train.teacher": teacher,
        "loss.rate_weight": rate_weight,
        "loss.slice_weight": slice_weight,
        "loss.channel_weight": channel_weight,
        "train.plain": plain or None,
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "train.lr": lr,
        "train.seed": seed,
        "train.device": device,
        "train.precision": precision,
        "train.channels_last": channels_last or None,
        "train.compile": compile_ or None,
        "train.accumulate": accumulate,
        "train.clip_grad": clip_grad,
        "train.ema": ema,
        "train.max_steps": max_steps,
        "train.track": track,
    }
    for file in (init, teacher):
        if file is not None:
            check_input(file)
    if init is not None and pretrained:
        raise UsageError("--init and --pretrained cannot be combined")
    settings = {key: value for key, value in given.items() if value is not None}
    for key, value in parse_model_args(model_arg).items():
        settings[f"model.args.{key}"] = value
    from lilnetx_cli.config import parse_setting, resolve

    settings.update(parse_setting(text) for text in set_ or [])
    if config is not None:
        check_input(config)
    resolved, configured = resolve(config, settings), bool(settings or config)
    if sweep is None:
        moved = {key: settings[key] for key in MAY_CHANGE if key in settings}
        configured = config is not None or settings.keys() != moved.keys()
        _train(resolved, output, resume, configured, force, out, moved)
        return
    from lilnetx_cli.cli.sweeping import run_sweep

    run_sweep(
        resolved,
        output,
        sweep,
        out,
        resume=resume,
        configured=configured,
        force=force,
    )


def _train(
    config: "RunConfig",
    folder: Path,
    resume: str | None,
    configured: bool,
    force: bool,
    out: Output,
    moved: dict[str, Any],
) -> None:
    content = None
    if resume is None:
        check_folder(folder, force=force)
    else:
        content, config = read_run(folder, resume, config, configured, force, moved)
    from lilnetx_cli.cli.progress import watched
    from lilnetx_cli.data import load_splits
    from lilnetx_cli.training import Stopped, leave

    settings = config.train
    out.detail(
        f"{config.model.name}, {settings.epochs} epochs, batches of"
        f" {settings.batch_size}, device {settings.device}, {settings.precision}"
    )
    splits = load_splits(config.data.name, config.data.dir, augment=config.data.augment)
    out.detail(
        f"data set {config.data.name}: {len(splits.train):,} images to train on,"
        f" {len(splits.validation):,} for validation, {len(splits.test):,} to test"
    )
    if splits.note and _speaks():
        out.note(splits.note)
    try:
        result = watched(config, splits, folder, out, resume=content)
    except Stopped:
        leave()
        again = f"lilnetx train -o {shlex.quote(str(folder))} --resume"
        text = f"stopped; resume with: {again}"
        raise Interrupted(text if _speaks() else "") from None
    leave()
    if _speaks():
        out.result(_record_of(result), *_lines_of(result))


def _speaks() -> bool:
    """Tell whether this is the process that speaks, of those that share a run."""
    return os.environ.get("RANK", "0") == "0"


def _record_of(result: "RunResult") -> dict[str, Any]:
    """Return what --json says of a run."""
    return {
        "checkpoint": str(result.checkpoint),
        "epochs": result.epochs,
        "accuracy": result.accuracy,
        "validation_accuracy": result.validation_accuracy,
        "estimated_bytes": result.estimated_bytes,
        "slice_sparsity": result.slice_sparsity,
        "channel_sparsity": result.channel_sparsity,
        "macs_share": result.macs_share,
        "time_share": result.time_share,
        "seconds": result.seconds,
        "seconds_per_step": round(result.seconds_per_step, 6),
    }


def _lines_of(result: "RunResult") -> list[str]:
    lines = [
        f"{result.checkpoint}: test accuracy {100 * result.accuracy:.2f} %,"
        f" validation {percent_text(result.validation_accuracy)}",
        f"next: lilnetx compress {shlex.quote(str(result.checkpoint))}",
    ]
    if result.estimated_bytes is not None:  # not of a plain run
        size, zero = size_text(result.estimated_bytes), result.slice_sparsity
        text = f"  about {size} as a .lnx file, {percent_text(zero)} of the slices zero"
        lines.insert(1, text)
        if result.steps < FEW_STEPS:
            text = f"  steps: {result.steps}, few for accuracy: run {FEW_STEPS} or more"
            lines.insert(2, text)
    if result.macs_share is not None:
        share = f"{percent_text(result.macs_share)} of the multiply-adds"
        if result.time_share is not None:
            share += f" and {percent_text(result.time_share)} of the time"
        lines.insert(2, f"  {share} without its dead channels")
    return lines
