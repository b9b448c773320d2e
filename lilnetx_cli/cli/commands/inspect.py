"""`lilnetx inspect`."""

from pathlib import Path
from typing import Annotated, Any

import typer

import lnx
from lilnetx_cli.cli.compress_options import UnsafePickle
from lilnetx_cli.cli.console import Output, change_text, percent_text, size_text
from lilnetx_cli.cli.contents import (
    COLUMNS,
    OPTIONAL,
    SHORT_COLUMNS,
    dead_rows_text,
    full_rows,
    largest,
    parts_text,
    record_text,
    short_columns,
    short_rows,
    zero_slices,
    zero_weights,
)
from lilnetx_cli.cli.options import (
    Force,
    Json,
    Quiet,
    Verbose,
    check_picture,
    make_output,
)
from lilnetx_cli.cli.standard_streams import input_file, input_name
from lilnetx_cli.cli.tables import shortened
from lilnetx_cli.errors import UsageError, suggestion
from lilnetx_cli.measure.parts import is_weight, parts_of
from lnx.errors import printable

# The sections of a file, and what they hold.
SECTIONS = {
    "prefix": "signature, version, lengths",
    "header": "names, shapes, digests, records",
    "tables": "how likely each symbol is",
    "decoders": "from latents to weights",
    "scales": "of rows and columns; they choose tables",
    "masks": "which slices are zero",
    "latents": "the quantized weights",
    "fixed": "rounded norms and biases",
    "exact": "tensors kept to the bit",
    "digest": "hash of the whole file",
}
MOST_BARS = 40
BAR_NAME = 40
MOST_NAMES = 1000  # that are looked through for one that may be meant


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            help="A .lnx file, or any checkpoint: .pt, .pth, .safetensors, a folder of"
            " shards, - for stdin."
        ),
    ],
    layer: Annotated[
        str | None,
        typer.Option(
            help="Show only tensors whose name starts with this.", show_default="all"
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw bytes and zeros into this .png, .svg or .pdf file.",
            show_default="none",
        ),
    ] = None,
    unsafe_pickle: UnsafePickle = False,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what is in a .lnx file, or why a checkpoint is so large.

    A .lnx file is not decoded. For any other checkpoint it shows what takes up space,
    the size of each tensor with zstd and with compress, and what would make the file
    smaller. A terminal shows a summary; -v shows all tensors.
    """
    if plot is not None:
        check_picture(plot, force=force, source=file)
    out = make_output(json, quiet, verbose)
    with input_file(file, folder=True) as source:
        if not (source.is_file() and lnx.is_lnx(source)):
            _report(file, source, layer, plot, out, unsafe_pickle=unsafe_pickle)
            return
        about = lnx.summary(source)
    tensors = [t for t in about.tensors if layer is None or t.name.startswith(layer)]
    if layer is not None and not tensors:
        names = [tensor.name for tensor in about.tensors[:MOST_NAMES]]
        hint = suggestion(layer, names, ": leave out --layer to see all names")
        name = input_name(file)
        raise UsageError(f"no tensor of {name!r} starts with {layer!r}{hint}")
    out.detail(f"read the header of {input_name(file)}: {len(about.tensors)} tensors")
    if plot is not None:
        _draw(about, plot, replace=force)
        out.note(f"drawn: {plot}")
    if json:
        out.result(_record(about, tensors))
        return
    out.text(*_head(file, about), "")
    _sections(about, out)
    out.text("")
    _tensors(tensors, out, every=verbose or layer is not None)


def _report(
    file: Path,
    source: Path,
    layer: str | None,
    plot: Path | None,
    out: Output,
    *,
    unsafe_pickle: bool,
) -> None:
    """Print what a checkpoint of another form is made of."""
    if plot is not None:
        raise UsageError("--plot needs a .lnx file: compress this one first")
    from lilnetx_cli.cli.checkpoint_report import print_report
    from lilnetx_cli.compression.report import make_report

    with out.progress("measuring") as ticker:
        report = make_report(
            source,
            unsafe_pickle=unsafe_pickle,
            progress=lambda done, total: ticker.move(done, total=total),
        )
    out.detail(f"measured {input_name(file)}: {len(report.tensors)} tensors")
    print_report(file, report, out, layer)


def _draw(about: lnx.Summary, path: Path, *, replace: bool) -> None:
    """Draw the largest weights, and all others as one."""
    from lilnetx_cli.plots import Bar, draw_contents

    weights = [tensor for tensor in about.tensors if is_weight(tensor)]
    shown, others = largest(weights, MOST_BARS)
    bars = [
        Bar(
            shortened(printable(t.name)[1:-1], BAR_NAME),
            t.bytes,
            t.zero_fraction,
            t.slice_sparsity,
        )
        for t in shown
    ]
    if others:
        size = sum(tensor.bytes for tensor in others)
        name = f"{len(others):,} others"
        bars.append(Bar(name, size, zero_weights(others), zero_slices(others)))
    title = f"{size_text(about.sizes.file)} whole file: {parts_text(parts_of(about))}"
    draw_contents(bars, title, path, replace=replace)


def _head(file: Path, about: lnx.Summary) -> list[str]:
    """Return what is said of the whole file."""
    change = change_text(about.decoded_bytes, about.sizes.file)
    lines = [
        f"{input_name(file)}: {size_text(about.sizes.file)} whole file for"
        f" {size_text(about.decoded_bytes)} dense, {change}",
        f"  {parts_text(parts_of(about))}",
    ]
    records = (("network", about.architecture), ("as trained", about.training))
    lines += [f"  {title}: {record_text(x)}" for title, x in records if x is not None]
    dead = dead_rows_text(about.tensors)
    lines += [] if dead is None else [f"  {dead}"]
    return lines


def _sections(about: lnx.Summary, out: Output) -> None:
    rows = []
    for name, holds in SECTIONS.items():
        size = getattr(about.sizes, name)
        if size or out.width is None:
            title = name if out.width is None else f"{name:<8}  {holds}"
            rows.append((title, f"{size:,}", percent_text(size / about.sizes.file)))
    out.table(("section", "bytes", "share"), rows)


def _tensors(tensors: list[lnx.TensorSummary], out: Output, *, every: bool) -> None:
    """Print every tensor for a pipe, and what fits and matters on a terminal."""
    if out.width is None:
        out.table(COLUMNS, full_rows(tensors))
        return
    columns = short_columns(tensors)
    rows = [row[: len(columns)] for row in short_rows(tensors, every=every)]
    out.table(columns, rows, optional=OPTIONAL if columns == SHORT_COLUMNS else 0)
    if not every and any(not is_weight(tensor) for tensor in tensors):
        out.note("for every tensor: -v, or --layer PREFIX")


def _record(about: lnx.Summary, tensors: list[lnx.TensorSummary]) -> dict[str, Any]:
    parts = parts_of(about)
    return {
        "format_version": about.version,
        "file_bytes": about.sizes.file,
        "dense_bytes": about.decoded_bytes,
        "payload_bytes": parts.payload,
        "exact_weight_bytes": parts.exact_weights,
        "side_bytes": parts.side,
        "overhead_bytes": parts.overhead,
        "parameters": about.parameters,
        "slice_sparsity": zero_slices(about.tensors),
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
                "coding": tensor.coding,
            }
            for tensor in tensors
        ],
    }
