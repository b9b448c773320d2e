"""`lilnetx verify`."""

from pathlib import Path
from typing import Annotated

import typer

import lnx
from lilnetx_cli.cli.console import size_text
from lilnetx_cli.cli.options import (
    DEFAULT_MAX_SIZE,
    Jobs,
    Json,
    MaxSize,
    Quiet,
    Stopwatch,
    Verbose,
    make_output,
    parse_size,
    processes,
)
from lilnetx_cli.cli.standard_streams import input_file, input_name
from lilnetx_cli.errors import FileError


def verify(
    file: Annotated[Path, typer.Argument(help="A .lnx file, or - for one on stdin.")],
    max_size: MaxSize = DEFAULT_MAX_SIZE,
    jobs: Jobs = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check every hash of a .lnx file.

    Everything is decoded, and nothing is written.
    """
    watch = Stopwatch()
    out = make_output(json, quiet, verbose)
    limit = parse_size(max_size)
    with input_file(file) as source:
        size = source.stat().st_size
        try:
            tensors = lnx.verify(source, max_size=limit, jobs=processes(jobs))
        except lnx.FormatError as error:
            raise _damage(error, size) from error
    record = {"ok": True, "tensors": tensors, "bytes": size, "seconds": watch.seconds}
    out.detail(f"decoded {tensors} tensors, with up to {processes(jobs)} processes")
    out.result(
        record, f"{input_name(file)}: ok, {tensors} tensors in {size_text(size)}"
    )


def _damage(error: lnx.FormatError, size: int) -> FileError:
    """Say under --json which tensors are damaged, and where that starts."""
    names: tuple[str, ...] = ()
    offset = None
    if isinstance(error, lnx.CorruptError):
        names, offset = error.tensors, error.offset
    damage = FileError(str(error))
    damage.record = {
        "ok": False,
        "bytes": size,
        "tensor": names[0] if names else None,
        "damaged_tensors": list(names),
        "offset": offset,
    }
    return damage
