"""`lilnetx verify`."""

from pathlib import Path
from typing import Annotated

import typer

import lnx
from lilnetx_cli.commands.options import (
    DEFAULT_MAX_SIZE,
    Json,
    MaxSize,
    Quiet,
    Stopwatch,
    check_input,
    parse_size,
)
from lilnetx_cli.console import Output, size_text


def verify(
    file: Annotated[Path, typer.Argument(help="A .lnx file.")],
    max_size: MaxSize = DEFAULT_MAX_SIZE,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check every hash of a .lnx file and decode everything."""
    watch = Stopwatch()
    check_input(file)
    container = lnx.load(file, max_size=parse_size(max_size))
    size = file.stat().st_size
    record = {
        "ok": True,
        "tensors": len(container.tensors),
        "bytes": size,
        "seconds": watch.seconds,
    }
    Output(json, quiet).result(
        record, f"{file}: ok, {len(container.tensors)} tensors in {size_text(size)}"
    )
