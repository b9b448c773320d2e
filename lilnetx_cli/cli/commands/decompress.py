"""`lilnetx decompress`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    check_input,
    check_output,
    network_arguments,
    parse_size,
    peak_rss_bytes,
    processes,
)
from lilnetx_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

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
    shape: tuple[int, ...] | None
    max_size: int
    jobs: int


def decompress(
    file: Annotated[Path, typer.Argument(help="A .lnx file.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A .safetensors, .pt, .pt2 or .onnx file to write."
        ),
    ] = None,
    pruned: Annotated[
        bool, typer.Option("--pruned", help="Leave out the channels that are dead.")
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
) -> None:
    """Rebuild the network of a .lnx file, dense or without its dead channels.

    State dicts go to .safetensors and .pt, programs that run as they are to .pt2
    (torch) and .onnx. A pruned network is run beside the dense one, and written only if
    both give the same.
    """
    watch = Stopwatch()
    check_input(file)
    target = output or file.with_suffix(".safetensors")
    if target.suffix not in SUFFIXES:
        raise UsageError(
            f"output {str(target)!r} ends in {target.suffix!r},"
            f" expected one of {', '.join(SUFFIXES)}"
        )
    if round_channels > 1 and not pruned:
        raise UsageError("--round-channels needs --pruned")
    check_output(target, force=force, source=file)
    out = Output(json, quiet)
    settings = _Settings(
        target,
        pruned,
        round_channels,
        model,
        network_arguments(model, model_arg),
        None if input_shape is None else _shape(input_shape),
        parse_size(max_size),
        processes(jobs),
    )
    if pruned or target.suffix in PROGRAMS:
        removed, difference, tensors = _write_network(file, settings, out)
    else:
        removed, difference, tensors = 0, None, _write_state(file, settings)
    size = target.stat().st_size
    record = {
        "output": str(target),
        "output_bytes": size,
        "pruned": pruned,
        "removed_channels": removed,
        "max_abs_difference": difference,
        "seconds": watch.seconds,
        "peak_rss_bytes": peak_rss_bytes(),
    }
    gone = f", {removed:,} channels removed" if pruned else ""
    out.result(
        record,
        f"{target}: {tensors} tensors, {size_text(size)}"
        f" from {size_text(file.stat().st_size)}{gone}",
    )


def _shape(text: str) -> tuple[int, ...]:
    from lilnetx_cli.models.inputs import parse_shape

    return parse_shape(text)


def _write_state(file: Path, settings: _Settings) -> int:
    """Write a dense state dict, one tensor at a time; return their number."""
    tensors = lnx.decode(file, max_size=settings.max_size, jobs=settings.jobs)
    if settings.target.suffix == ".safetensors":
        from lilnetx_cli.export.state_dict import write_safetensors

        write_safetensors(tensors, settings.target)
    else:
        from lilnetx_cli.export.state_dict import write_state_dict

        write_state_dict(tensors, settings.target)
    return len(tensors)


def _write_network(
    file: Path, settings: _Settings, out: Output
) -> tuple[int, float | None, int]:
    """Write what needs the network itself; removed channels, difference, tensors."""
    from lilnetx_cli.cli.loading import load_network, load_pruned
    from lilnetx_cli.models.inputs import example_input

    loaded = load_network(
        file,
        settings.model,
        settings.arguments,
        max_size=settings.max_size,
        jobs=settings.jobs,
    )
    network, removed, difference = loaded.network, 0, None
    if settings.pruned:
        smaller = load_pruned(file, loaded, settings.shape, settings.multiple, out)
        network, removed = smaller.model, smaller.removed_channels
        difference = smaller.max_abs_difference
    if settings.target.suffix in STATES:
        _write_smaller(network, settings.target)
    else:
        _export(
            network, example_input(loaded.architecture, settings.shape), settings.target
        )
    return removed, difference, len(network.state_dict())


def _write_smaller(network: "nn.Module", target: Path) -> None:
    from lilnetx_cli.checkpoint import capture, pack
    from lilnetx_cli.export.state_dict import write_safetensors, write_state_dict

    tensors = list(lnx.rebuild_all(pack(capture(network))))
    write = write_safetensors if target.suffix == ".safetensors" else write_state_dict
    write(tensors, target)


def _export(network: "nn.Module", example: "Tensor", target: Path) -> None:
    if target.suffix == ".pt2":
        from lilnetx_cli.export.program import write_program

        write_program(network, example, target)
    else:
        from lilnetx_cli.export.onnx import write_onnx

        write_onnx(network, example, target)
