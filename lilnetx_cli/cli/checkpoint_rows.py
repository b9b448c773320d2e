"""The rows that `inspect` prints of a checkpoint."""

from typing import TYPE_CHECKING

from lilnetx_cli.cli.console import percent_text, size_text
from lilnetx_cli.cli.contents import shape_text
from lnx.errors import printable

if TYPE_CHECKING:
    from lilnetx_cli.checkpoint.whole_file import WholeFile
    from lilnetx_cli.compression.report import Report, TensorReport

PARTS = {
    "weights": "weights",
    "norms": "norms and biases",
    "buffers": "buffers",
    "latents": "integers of the weights",
    "copy": "second copy, such as EMA",
    "optimizer": "optimizer state",
    "other": "other tensors",
}
CONTAINERS = {
    "torch": "zip container, alignment",
    "torch_legacy": "pickles",
    "safetensors": "length of the header",
    "shards": "index, containers",
    "lilnetx": "zip container, alignment",
}
PICKLES = {
    "safetensors": "header (names, shapes)",
    "shards": "headers (names, shapes)",
}
PICKLE = "pickle (names, values)"
PART_COLUMNS = ("what the bytes are", "tensors", "bytes", "share", "zstd")
COLUMNS = ("tensor", "shape", "type", "group", "bytes", "zstd", "bits/weight",
           "entropy", "lilnetx")  # fmt: skip
SHORT_COLUMNS = ("tensor", "bytes", "zstd", "entropy,\nbits")
SHAPE_COLUMNS = ("type", "shape")  # where a terminal has room for them


def part_rows(report: "Report") -> list[tuple[str, ...]]:
    """Return what the bytes of a file are for; the rows add up to the last one."""
    whole, total = report.file, report.file.file_bytes
    rows: list[tuple[str, ...]] = []
    for group in report.groups:
        ours = "-" if group.lilnetx_bytes is None else f"{group.lilnetx_bytes:,}"
        rows.append(
            (
                PARTS[group.name],
                f"{group.tensors:,}",
                f"{group.bytes:,}",
                percent_text(group.bytes / total),
                f"{group.zstd_bytes:,}",
                ours,
            )
        )
    over = f"{report.expected.overhead_bytes:,}" if report.expected else "-"
    for name, size, ours in (
        ("unused parts of storages", whole.unused_bytes, "-"),
        (PICKLES.get(whole.kind, PICKLE), whole.pickle_bytes, "-"),
        (_container(whole), whole.container_bytes, over),
    ):
        if size or ours != "-":
            rows.append((name, "", f"{size:,}", percent_text(size / total), "", ours))
    file = f"{report.expected.file_bytes:,}" if report.expected else "-"
    count = f"{len(report.tensors):,}"
    zstd = f"{sum(group.zstd_bytes for group in report.groups):,}"
    rows.append(("whole file", count, f"{total:,}", percent_text(1), zstd, file))
    return rows


def _container(whole: "WholeFile") -> str:
    """Return what is said of bytes that are left: fewer than none if compressed."""
    return CONTAINERS[whole.kind] if whole.container_bytes >= 0 else "compressed by zip"


def ours_title(report: "Report") -> str:
    """Return the title of what compress would take."""
    lossless = report.expected is None or report.expected.lossless
    return "lilnetx" if lossless else "lilnetx\nat 40 dB"


def full_row(tensor: "TensorReport") -> tuple[str, ...]:
    """Return a row of COLUMNS."""
    return (
        printable(tensor.name)[1:-1],
        shape_text(tensor.shape),
        tensor.dtype,
        tensor.group,
        f"{tensor.bytes:,}",
        _number(tensor.zstd_bytes),
        _bits(tensor.entropy_bits_per_weight),
        _number(tensor.entropy_bytes),
        _number(tensor.lilnetx_bytes),
    )


def short_row(tensor: "TensorReport", start: str) -> tuple[str, ...]:
    """Return a row of SHORT_COLUMNS and what follows; names are shown without start."""
    return (
        printable(tensor.name.removeprefix(start))[1:-1],
        size_text(tensor.bytes),
        "-" if tensor.zstd_bytes is None else size_text(tensor.zstd_bytes),
        _bits(tensor.entropy_bits_per_weight),
        "-" if tensor.lilnetx_bytes is None else size_text(tensor.lilnetx_bytes),
        tensor.dtype,
        shape_text(tensor.shape),
    )


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _bits(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
