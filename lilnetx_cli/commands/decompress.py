"""`lilnetx decompress`."""

from pathlib import Path
from typing import Annotated

import typer

import lnx
from lilnetx_cli.commands.options import (
    DEFAULT_MAX_SIZE,
    Force,
    Jobs,
    Json,
    MaxSize,
    Quiet,
    Stopwatch,
    check_input,
    check_output,
    parse_size,
    peak_rss_bytes,
    processes,
)
from lilnetx_cli.console import Output, size_text
from lilnetx_cli.errors import UsageError

SUFFIXES = (".safetensors", ".pt", ".pth")


def decompress(
    file: Annotated[Path, typer.Argument(help="A .lnx file.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .safetensors or .pt file to write."),
    ] = None,
    force: Force = False,
    max_size: MaxSize = DEFAULT_MAX_SIZE,
    jobs: Jobs = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rebuild the dense state dict of a .lnx file."""
    watch = Stopwatch()
    check_input(file)
    target = output or file.with_suffix(".safetensors")
    if target.suffix not in SUFFIXES:
        raise UsageError(
            f"output {str(target)!r} ends in {target.suffix!r},"
            f" expected one of {', '.join(SUFFIXES)}"
        )
    check_output(target, force=force, source=file)
    tensors = lnx.decode(file, max_size=parse_size(max_size), jobs=processes(jobs))
    if target.suffix == ".safetensors":
        from lilnetx_cli.export.safetensors import write_safetensors

        write_safetensors(tensors, target)
    else:
        from lilnetx_cli.export.torch_state import write_state_dict

        write_state_dict(tensors, target)
    size = target.stat().st_size
    record = {
        "output": str(target),
        "output_bytes": size,
        "pruned": False,
        "removed_channels": 0,
        "max_abs_difference": None,
        "seconds": watch.seconds,
        "peak_rss_bytes": peak_rss_bytes(),
    }
    Output(json, quiet).result(
        record,
        f"{target}: {len(tensors)} tensors, {size_text(size)}"
        f" from {size_text(file.stat().st_size)}",
    )
