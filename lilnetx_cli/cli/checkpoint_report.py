"""What `inspect` prints of a checkpoint: tables, reasons, the command to run next."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lilnetx_cli.cli.checkpoint_rows import (
    COLUMNS,
    PART_COLUMNS,
    SHAPE_COLUMNS,
    SHORT_COLUMNS,
    full_row,
    ours_title,
    part_rows,
    short_row,
)
from lilnetx_cli.cli.console import Output, change_text, percent_text, size_text
from lilnetx_cli.cli.standard_streams import STANDARD, input_name
from lilnetx_cli.errors import UsageError, suggestion
from lnx.errors import printable

if TYPE_CHECKING:
    from lilnetx_cli.compression.report import Report, TensorReport

KINDS = {
    "torch": "a PyTorch checkpoint",
    "torch_legacy": "a PyTorch checkpoint in the form before 1.6",
    "safetensors": "a safetensors file",
    "shards": "a network in several files",
    "lilnetx": "a checkpoint of lilnetx train",
}
MOST_ROWS = 20
MOST_NAMES = 1000  # that are looked through for one that may be meant


def print_report(file: Path, report: "Report", out: Output, layer: str | None) -> None:
    """Print a report, or write it as JSON; `layer` is how names of tensors start."""
    tensors = _chosen(file, report, layer)
    if out.json:
        out.result(_record(file, report, tensors))
        return
    out.text(*_head(file, report), "")
    out.table((*PART_COLUMNS, ours_title(report)), part_rows(report))
    out.text("")
    _tensors(tensors, report, out, every=out.verbose or layer is not None)
    _findings(report, out)
    out.text("", *_next(file, report))


def _chosen(
    file: Path, report: "Report", layer: str | None
) -> Sequence["TensorReport"]:
    """Return the tensors whose name starts so, as it is or as tables show it."""
    tensors, start = report.tensors, _start(report)
    found = [
        t
        for t in tensors
        if layer is None
        or t.name.startswith(layer)
        or t.name.removeprefix(start).startswith(layer)
    ]
    if layer is not None and not found:
        names = [t.name.removeprefix(start) for t in tensors[:MOST_NAMES]]
        hint = suggestion(layer, names, ": leave out --layer to see all names")
        name = input_name(file)
        raise UsageError(f"no tensor of {name!r} starts with {layer!r}{hint}")
    return found


def _head(file: Path, report: "Report") -> list[str]:
    """Return what is said of the whole file."""
    whole = report.file
    lines = [f"{input_name(file)}: {size_text(whole.file_bytes)}, {KINDS[whole.kind]}"]
    if whole.network is not None:
        size = sum(entry.stored_bytes for entry in whole.of_network())
        entry = printable(".".join(whole.network))
        where = f" in entry {entry}" if whole.network else ""
        share = percent_text(size / whole.file_bytes)
        lines.append(f"  network{where}: {size_text(size)}, {share} of the file")
    return lines


def _tensors(
    tensors: Sequence["TensorReport"], report: "Report", out: Output, *, every: bool
) -> None:
    """Print every tensor for a pipe, and the largest of the network on a terminal."""
    if out.width is None:
        out.table(COLUMNS, [full_row(tensor) for tensor in tensors])
        return
    shown = list(tensors)
    if not every:
        ours = [t for t in tensors if t.lilnetx_bytes is not None] or shown
        order = sorted(range(len(ours)), key=lambda i: -ours[i].bytes)
        chosen = set(order[:MOST_ROWS])
        shown = [t for i, t in enumerate(ours) if i in chosen]
    start = "" if every else _start(report)
    rows = [short_row(tensor, start) for tensor in shown]
    if len(tensors) > len(shown):
        rest = sum(t.bytes for t in tensors) - sum(t.bytes for t in shown)
        others = f"... and {len(tensors) - len(shown):,} others"
        rows.append((others, size_text(rest), "", "", "", "", ""))
    out.table((*SHORT_COLUMNS, ours_title(report), *SHAPE_COLUMNS), rows, optional=2)
    if len(tensors) > len(shown):
        out.note("for every tensor: -v, or --layer PREFIX")


def _start(report: "Report") -> str:
    """Return what all names of the network start with, and need not say again."""
    entry = "".join(f"{key}." for key in report.file.network or ())
    return entry + report.file.prefix


def _findings(report: "Report", out: Output) -> None:
    if not report.findings:
        return
    sizes = [size_text(f.bytes) if f.bytes else "" for f in report.findings]
    wide = max(map(len, sizes))
    out.text("", "why it is so large, and what each reason costs (they may overlap):")
    out.text(
        *(
            f"  {size.rjust(wide)}  {finding.message}"
            for size, finding in zip(sizes, report.findings, strict=True)
        ),
        indent=wide + 4,
    )


def _next(file: Path, report: "Report") -> list[str]:
    """Return the command that makes it smaller, and what that gives."""
    expected = report.expected
    if expected is None:
        return [f"compress cannot take this file: {report.refusal}"]
    change = change_text(report.file.file_bytes, expected.file_bytes)
    how = "without loss" if expected.lossless else "at 40 dB, about as close as 8 bits"
    return [
        f"next: {command(file, report)}",
        f"  about {size_text(expected.file_bytes)} {how}: {change}",
    ]


def command(file: Path, report: "Report") -> str:
    """Return the command line that compresses a file."""
    words = ["lilnetx", "compress", str(file)]
    if report.file.key is not None:
        words += ["--key", report.file.key]
    if file == STANDARD:
        words += ["-o", "model.lnx"]
    return shlex.join(words + ["--unsafe-pickle"] * report.file.trusted)


def _record(
    file: Path, report: "Report", tensors: Sequence["TensorReport"]
) -> dict[str, Any]:
    whole, expected = report.file, report.expected
    return {
        "file_bytes": whole.file_bytes,
        "kind": whole.kind,
        "entry": None if whole.network is None else ".".join(whole.network),
        "parameters": None if expected is None else expected.parameters,
        "tensor_bytes": whole.tensor_bytes,
        "unused_bytes": whole.unused_bytes,
        "pickle_bytes": whole.pickle_bytes,
        "container_bytes": whole.container_bytes,
        "compressed_bytes": None if expected is None else expected.file_bytes,
        "compressed_overhead_bytes": (
            None if expected is None else expected.overhead_bytes
        ),
        "sampled": None if expected is None else expected.sampled,
        "command": None if expected is None else command(file, report),
        "refusal": report.refusal,
        "groups": [
            {
                "name": group.name,
                "tensors": group.tensors,
                "bytes": group.bytes,
                "zstd_bytes": group.zstd_bytes,
                "lilnetx_bytes": group.lilnetx_bytes,
            }
            for group in report.groups
        ],
        "findings": [
            {"kind": f.kind, "bytes": f.bytes, "message": f.message}
            for f in report.findings
        ],
        "tensors": [
            {
                "name": tensor.name,
                "shape": list(tensor.shape),
                "dtype": tensor.dtype,
                "group": tensor.group,
                "bytes": tensor.bytes,
                "zstd_bytes": tensor.zstd_bytes,
                "entropy_bits_per_weight": tensor.entropy_bits_per_weight,
                "entropy_bytes": tensor.entropy_bytes,
                "lilnetx_bytes": tensor.lilnetx_bytes,
            }
            for tensor in tensors
        ],
    }
