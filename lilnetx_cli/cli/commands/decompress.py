"""`lilnetx decompress`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import lnx
from lilnetx_cli.cli.console import size_text
from lilnetx_cli.cli.decompressing import SUFFIXES, Wanted, write
from lilnetx_cli.cli.options import (
    DEFAULT_MAX_SIZE,
    Force,
    InputShape,
    Jobs,
    Json,
    MaxSize,
    Model,
    ModelArg,
    Quiet,
    RoundChannels,
    Stopwatch,
    Verbose,
    check_output,
    make_output,
    network_arguments,
    parse_size,
    peak_rss_bytes,
    processes,
)
from lilnetx_cli.cli.standard_streams import STANDARD, input_file
from lilnetx_cli.endings import STATES, TORCH_STATES
from lilnetx_cli.errors import UsageError

if TYPE_CHECKING:
    from lilnetx_cli.models.inputs import InputForm


def decompress(
    file: Annotated[
        Path,
        typer.Argument(
            help="A .lnx file, or - for one on stdin; with --pruned also a checkpoint."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write, ending in .safetensors, .pt, .pt2 or .onnx; with"
            " --pruned also .lnx.",
            show_default="the input's name, ending in .safetensors",
        ),
    ] = None,
    pruned: Annotated[
        bool, typer.Option("--pruned", help="Leave out dead channels.")
    ] = False,
    round_channels: RoundChannels = 1,
    model: Model = None,
    model_arg: ModelArg = None,
    input_shape: InputShape = None,
    force: Force = False,
    max_size: MaxSize = DEFAULT_MAX_SIZE,
    jobs: Jobs = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Rebuild the network of a .lnx file.

    A .safetensors or .pt file holds a state dict; a .pt2 (torch.export) or .onnx file
    is a program that runs without the network's code. With --pruned, dead channels are
    left out, dense and pruned networks are run side by side, and nothing is written
    unless their outputs are the same; a .lnx file then holds the smaller network.
    """
    watch = Stopwatch()
    if output is None and file == STANDARD:
        raise UsageError(
            "standard input has no file name to derive the output from: give -o"
        )
    target = output or file.with_suffix(".safetensors")
    _check_name(target)
    if target.suffix == ".lnx" and not pruned:
        raise UsageError(f"output {str(target)!r}: only --pruned writes a .lnx file")
    if round_channels > 1 and not pruned:
        raise UsageError("--round-channels needs --pruned")
    if target.suffix in STATES and not pruned:
        options = {"--model": model, "--input-shape": input_shape}
        for option in (name for name, value in options.items() if value):
            raise UsageError(f"{option} needs --pruned, or an output .pt2 or .onnx")
    check_output(target, force=force, source=file)
    out = make_output(json, quiet, verbose)
    wanted = Wanted(
        target,
        pruned,
        round_channels,
        model,
        network_arguments(model, model_arg),
        None if input_shape is None else _form(input_shape),
        parse_size(max_size),
        processes(jobs),
        force,
    )
    with input_file(file) as source:
        input_bytes = source.stat().st_size
        done = write(source, wanted, out)
        trellis = lnx.is_lnx(source) and _has_trellis(source)
    out.detail(f"wrote {target}")
    if done.cut and target.suffix in TORCH_STATES:
        out.note(
            f"a {target.suffix} file does not record how the network was pruned: to"
            " load it in lilnetx again, write .lnx or .safetensors"
        )
    size = target.stat().st_size
    if target.suffix == ".lnx" and size > input_bytes:
        few = "few" if done.removed else "no"
        why = f"{few} channels were removed, and all tables are rebuilt"
        if trellis:
            why = "the trellis of the input works only for whole weights"
        out.note(f"the file is larger than the input: {why}")
    record = {
        "output": str(target),
        "output_bytes": size,
        "pruned": pruned,
        "removed_channels": done.removed,
        "kept_channels": done.kept,
        "max_abs_difference": done.difference,
        "one_size": done.one_size,
        "seconds": watch.seconds,
        "peak_rss_bytes": peak_rss_bytes(),
    }
    out.result(
        record,
        f"{target}: {done.tensors} tensors, {size_text(size)}"
        f" from {size_text(input_bytes)}",
        *(f"  {line}" for line in done.lines),
    )


def _has_trellis(file: Path) -> bool:
    """Tell whether weights of a .lnx file are coded with the trellis."""
    return any(
        (t.coding or "").startswith("trellis") for t in lnx.summary(file).tensors
    )


def _check_name(target: Path) -> None:
    """Raise UsageError for an output that nothing is written to."""
    if target == STANDARD:
        raise UsageError("decompress cannot write to standard output: name a file")
    if target.suffix not in SUFFIXES:
        raise UsageError(
            f"output {str(target)!r} has the suffix {target.suffix!r},"
            f" expected one of {', '.join(SUFFIXES)}"
        )


def _form(text: str) -> "InputForm":
    from lilnetx_cli.models.inputs import parse_form

    return parse_form(text)
