"""The rows as text, and as CSV."""

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench.compressors.running import Row

NAMES = {
    ("zstd", "0"): "zstd -19",
    ("zstd", "8"): "int8 per channel + zstd -19",
    ("zstd", "4"): "int4 per channel + zstd -19",
    ("zipnn", "file"): "ZipNN, .safetensors",
    ("zipnn", "raw"): "ZipNN, tensors alone",
    ("lilnetx", "lossless"): "lilnetx --lossless",
}
HEAD = (
    f"{'':30}{'SNR, dB':>8}{'bytes':>12}{'/NNCodec':>10}{'accuracy':>10}"
    f"{'encode, s':>11}{'decode, s':>11}{'peak, MB':>10}"
)


def name_of(row: Row) -> str:
    """Return what a row is called."""
    known = NAMES.get((row.method, row.setting))
    if known is not None:
        return known
    if row.method == "lilnetx":
        return f"lilnetx --snr {row.setting}"
    if row.method == "nncodec":
        return f"NNCodec, qp {row.setting}"
    return f"{row.method}, {row.setting}"


def line_of(row: Row) -> str:
    """Return one line of the table."""
    snr = "exact" if math.isinf(row.snr) else f"{row.snr:.2f}"
    ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
    accuracy = "" if row.accuracy is None else f"{row.accuracy:.2%}"
    peak = "" if row.peak is None else f"{row.peak / 1e6:.0f}"
    return (
        f"{name_of(row):30}{snr:>8}{row.bytes:>12,}{ratio:>10}{accuracy:>10}"
        f"{row.encode:>11.2f}{row.decode:>11.2f}{peak:>10}"
    )


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write all rows; a value that is not defined is empty."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(rows[0])))
        writer.writeheader()
        for row in rows:
            exact = {"snr": None} if math.isinf(row.snr) else {}
            writer.writerow(asdict(row) | exact)
