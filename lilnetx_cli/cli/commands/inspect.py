"""`lilnetx inspect`."""

from pathlib import Path
from typing import Annotated, Any

import typer

import lnx
from lilnetx_cli.cli.commands.compress import sizes_text
from lilnetx_cli.cli.console import Output, percent_text, size_text
from lilnetx_cli.cli.options import (
    Force,
    Json,
    Quiet,
    check_input,
    check_output,
)
from lilnetx_cli.errors import UsageError
from lnx.errors import printable

SECTIONS = (
    "prefix", "header", "tables", "decoders", "masks", "latents", "exact", "digest",
)  # fmt: skip

COLUMNS = (
    "tensor", "shape", "kind", "bytes", "bits/weight", "zeros", "slices", "rows",
    "columns",
)  # fmt: skip


def inspect(
    file: Annotated[Path, typer.Argument(help="A .lnx file.")],
    layer: Annotated[
        str | None, typer.Option(help="Show only tensors whose name starts so.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw bytes and zeros into a PNG file.")
    ] = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what is in a .lnx file, without decoding it."""
    check_input(file)
    if plot is not None:
        check_output(plot, force=force, source=file)
    about = lnx.summary(file)
    tensors = [t for t in about.tensors if layer is None or t.name.startswith(layer)]
    if layer is not None and not tensors:
        raise UsageError(f"no tensor of {str(file)!r} starts with {layer!r}")
    out = Output(json, quiet)
    record = _record(about, tensors)
    if plot is not None:
        from lilnetx_cli.plots import draw_contents

        draw_contents(about, plot)
        out.note(f"drawn: {plot}")
    if json:
        out.result(record)
        return
    ratio = about.decoded_bytes / about.sizes.file
    out.result(
        record,
        f"{file}: format {about.version}, {size_text(about.sizes.file)} whole file"
        f" for {size_text(about.decoded_bytes)} dense, {ratio:.1f}x smaller",
        f"  {sizes_text(about.sizes)}",
        *_about(about),
        "",
    )
    out.table(
        ("section", "bytes", "share"),
        [
            (s["name"], f"{s['bytes']:,}", percent_text(s["bytes"] / about.sizes.file))
            for s in record["sections"]
        ],
    )
    out.result(record, "")
    out.table(
        COLUMNS,
        [_row(tensor) for tensor in tensors],
    )


def _record(about: lnx.Summary, tensors: list[lnx.TensorSummary]) -> dict[str, Any]:
    return {
        "format_version": about.version,
        "file_bytes": about.sizes.file,
        "dense_bytes": about.decoded_bytes,
        "payload_bytes": about.sizes.payload,
        "side_bytes": about.sizes.side,
        "overhead_bytes": about.sizes.overhead,
        "parameters": about.parameters,
        "architecture": about.architecture,
        "training": about.training,
        "sections": [
            {"name": name, "bytes": getattr(about.sizes, name)} for name in SECTIONS
        ],
        "tensors": [
            {
                "name": tensor.name,
                "shape": list(tensor.shape),
                "dtype": tensor.dtype,
                "kind": tensor.kind,
                "bytes": tensor.bytes,
                "bits_per_weight": tensor.bits_per_weight,
                "zero_fraction": tensor.zero_fraction,
                "slice_sparsity": tensor.slice_sparsity,
                "row_sparsity": tensor.row_sparsity,
                "column_sparsity": tensor.column_sparsity,
            }
            for tensor in tensors
        ],
    }


def _about(about: lnx.Summary) -> list[str]:
    lines = []
    for title, record in (
        ("network", about.architecture),
        ("training", about.training),
    ):
        if record is not None:
            values = ", ".join(f"{key} {value}" for key, value in record.items())
            lines.append(f"  {title}: {printable(values)[1:-1]}")
    return lines


def _row(tensor: lnx.TensorSummary) -> tuple[str, ...]:
    rate = tensor.bits_per_weight
    return (
        printable(tensor.name)[1:-1],
        "x".join(str(size) for size in tensor.shape) or "scalar",
        tensor.kind,
        f"{tensor.bytes:,}",
        "-" if rate is None else f"{rate:.3f}",
        percent_text(tensor.zero_fraction),
        percent_text(tensor.slice_sparsity),
        percent_text(tensor.row_sparsity),
        percent_text(tensor.column_sparsity),
    )
