"""All rows of one network, and what curves say between their points."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from tests.bench.compressors.networks import Network
from tests.bench.compressors.running import Row, code
from tests.bench.compressors.with_inputs import rows_with_inputs

FIRST_QP = -20
LIMIT_QP = 60  # on either side, for networks that no step size brings there
BEYOND = 1.0  # dB, how far NNCodec goes beyond the SNRs of ours
MOST_DROP = 0.005  # of accuracy, at which files are compared


def sweep_nncodec(
    network: Network, python: str, snrs: Sequence[float], by: int
) -> list[Row]:
    """Return rows of NNCodec from below the least SNR to above the largest."""
    low, high = min(snrs) - BEYOND, max(snrs) + BEYOND
    rows = [code(network, "nncodec", str(FIRST_QP), python)]
    qp = FIRST_QP
    while rows[-1].snr < high and qp > -LIMIT_QP:  # finer
        qp -= by
        rows.append(code(network, "nncodec", str(qp), python))
    qp = FIRST_QP
    while rows[0].snr > low and qp < LIMIT_QP:  # coarser
        qp += by
        rows.insert(0, code(network, "nncodec", str(qp), python))
    return rows


def rows_of(
    network: Network,
    python_of: Callable[[str], str | None],
    snrs: Sequence[float],
    by: int,
) -> list[Row]:
    """Return every row of one network; methods that are not installed are left out."""
    settings = {
        "zstd": ("0", "8", "4"),
        "zipnn": ("file", "raw"),
        "lilnetx": ("lossless", *(f"{snr:g}" for snr in snrs)),
    }
    rows = [
        code(network, method, setting, python)
        for method, each in settings.items()
        if (python := python_of(method)) is not None
        for setting in each
    ]
    rows += rows_with_inputs(network)
    python = python_of("nncodec")
    rivals = sweep_nncodec(network, python, snrs, by) if python else []
    return [replace(row, ratio=_ratio(row, rivals)) for row in rows] + rivals


def _ratio(row: Row, rivals: Sequence[Row]) -> float | None:
    if math.isinf(row.snr) or not rivals:
        return None
    there = interpolate([(r.snr, math.log(r.bytes)) for r in rivals], row.snr)
    return None if there is None else row.bytes / math.exp(there)


def interpolate(points: Iterable[tuple[float, float]], x: float) -> float | None:
    """Return y at x between the nearest points, or None outside of them."""
    known = sorted(points)
    for (x0, y0), (x1, y1) in pairwise(known):
        if x0 <= x <= x1:
            return y0 if x0 == x1 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return None


def bytes_at_drop(rows: Sequence[Row], accuracy: float) -> float | None:
    """Return the bytes at which files from large to small first fall below an accuracy.

    Between the last file that holds it and the next, log bytes are interpolated. None
    where no file holds it, or all do.
    """
    known = sorted(((r.bytes, r.accuracy) for r in rows if r.accuracy), reverse=True)
    for (size, good), (less, bad) in pairwise(known):
        if good < accuracy:
            return None
        if bad < accuracy:
            part = (good - accuracy) / (good - bad)
            return size ** (1 - part) * less**part
    return None
