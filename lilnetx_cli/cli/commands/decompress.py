"""`lilnetx decompress`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lnx
from lilnetx_cli.cli.console import Output, size_text
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
from lilnetx_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from lilnetx_cli.cli.loading import Loaded
    from lilnetx_cli.models.inputs import InputForm

STATES = (".safetensors", ".pt", ".pth")
PROGRAMS = (".pt2", ".onnx")
SUFFIXES = (*STATES, *PROGRAMS)


@dataclass(frozen=True)
class _Settings:
    """What the user asked for."""

    target: Path
    pruned: bool
    multiple: int
    model: str | None
    arguments: dict[str, int]
    form: "InputForm | None"
    max_size: int
    jobs: int
    replace: bool


@dataclass(frozen=True)
class _Done:
    """What was written.

    Attributes:
        tensors: their number.
        removed: channels that are gone.
        kept: dead channels that stay, {layer, channels, reason} each; None where
            nothing was pruned.
        difference: the largest of the outputs, dense against pruned.
        one_size: why a program takes inputs of one size alone; None where it does not.
        lines: what there is to say of it.
    """

    tensors: int
    removed: int = 0
    kept: list[dict[str, Any]] | None = None
    difference: float | None = None
    one_size: str | None = None
    lines: tuple[str, ...] = ()


def decompress(
    file: Annotated[Path, typer.Argument(help="A .lnx file, or - for one on stdin.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write, ending in .safetensors, .pt, .pt2 or .onnx.",
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
    unless their outputs are the same.
    """
    watch = Stopwatch()
    if output is None and file == STANDARD:
        raise UsageError("standard input has no name to write beside: give -o")
    target = output or file.with_suffix(".safetensors")
    if target.suffix not in SUFFIXES:
        raise UsageError(
            f"output {str(target)!r} ends in {target.suffix!r},"
            f" expected one of {', '.join(SUFFIXES)}"
        )
    if round_channels > 1 and not pruned:
        raise UsageError("--round-channels needs --pruned")
    check_output(target, force=force, source=file)
    out = make_output(json, quiet, verbose)
    settings = _Settings(
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
        if pruned or target.suffix in PROGRAMS:
            done = _write_network(source, settings, out)
        else:
            done = _Done(_write_state(source, settings))
    out.detail(f"wrote {target}")
    size = target.stat().st_size
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


def _form(text: str) -> "InputForm":
    from lilnetx_cli.models.inputs import parse_form

    return parse_form(text)


def _write_state(file: Path, settings: _Settings) -> int:
    """Write a dense state dict, one tensor at a time; return their number."""
    tensors = lnx.decode(
        file,
        max_size=settings.max_size,
        copies=settings.target.suffix == ".safetensors",  # which has no tied tensors
        jobs=settings.jobs,
    )
    _write_tensors(tensors, file, settings)
    return len(tensors)


def _write_tensors(
    tensors: "Sequence[lnx.Decoded]", file: Path, settings: _Settings
) -> None:
    from lilnetx_cli.export.state_dict import write_safetensors, write_state_dict

    target, replace = settings.target, settings.replace
    if target.suffix == ".safetensors":
        metadata = lnx.summary(file).metadata
        write_safetensors(tensors, target, metadata, replace=replace)
    else:
        write_state_dict(tensors, target, replace=replace)


def _write_network(file: Path, settings: _Settings, out: Output) -> _Done:
    """Write what needs the network itself."""
    from lilnetx_cli.cli.loading import load_network
    from lilnetx_cli.models.inputs import example_input

    loaded = load_network(
        file,
        settings.model,
        settings.arguments,
        max_size=settings.max_size,
        jobs=settings.jobs,
    )
    out.detail(f"read {file} and built its network")
    network, done = loaded.network, _Done(len(loaded.network.state_dict()))
    if settings.pruned:
        network, done = _pruned(file, loaded, settings)
        out.detail("cut channels out, and compared with the dense network")
    if settings.target.suffix in STATES:
        _write_smaller(network, file, settings)
    else:
        example = example_input(loaded.architecture, settings.form, loaded.network)
        one_size = _export(network, example, settings, out)
        done = dataclasses.replace(done, one_size=one_size)
    return done


def _pruned(
    file: Path, loaded: "Loaded", settings: _Settings
) -> tuple["nn.Module", _Done]:
    from lilnetx_cli.cli.loading import load_pruned, removal_lines

    smaller = load_pruned(file, loaded, settings.form, settings.multiple)
    done = _Done(
        tensors=len(smaller.model.state_dict()),
        removed=smaller.removed_channels,
        kept=[dataclasses.asdict(kept) for kept in smaller.held],
        difference=smaller.max_abs_difference,
        lines=tuple(removal_lines(smaller)),
    )
    return smaller.model, done


def _write_smaller(network: "nn.Module", file: Path, settings: _Settings) -> None:
    from lilnetx_cli.checkpoint import capture, pack

    tensors = list(lnx.rebuild_all(pack(capture(network))))
    _write_tensors(tensors, file, settings)


def _export(
    network: "nn.Module", example: "Tensor", settings: _Settings, out: Output
) -> str | None:
    """Write a program; return why it takes inputs of one size alone, if it does."""
    target, replace = settings.target, settings.replace
    if target.suffix == ".pt2":
        from lilnetx_cli.export.program import write_program

        written = write_program(network, example, target, replace=replace)
    else:
        from lilnetx_cli.export.onnx import write_onnx

        written = write_onnx(network, example, target, replace=replace)
    if written.one_size is not None:
        shape = "x".join(str(size) for size in example.shape[1:])
        out.note(f"{target} takes inputs of {shape} alone: {written.one_size}")
    return written.one_size
