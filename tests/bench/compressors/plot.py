"""Bytes against SNR, and against accuracy where there is one."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from tests.bench.compressors.running import Row
from tests.bench.compressors.table import name_of

CURVES = {"lilnetx": ("lilnetx", "#2f855a"), "nncodec": ("NNCodec", "#dd6b20")}
OTHERS = "#2b6cb0"
LOSSLESS = "#718096"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw a column a network; the lower row has accuracies."""
    networks = list(dict.fromkeys(row.network for row in rows))
    labeled = any(row.accuracy is not None for row in rows)
    figure, axes = plt.subplots(
        1 + labeled, len(networks), squeeze=False, layout="constrained",
        figsize=(4.6 * len(networks), 4 * (1 + labeled)),
    )  # fmt: skip
    for column, network in enumerate(networks):
        mine = [row for row in rows if row.network == network]
        top = axes[0][column]
        _curves(top, mine, lambda row: row.snr)
        _lossless(top, mine)
        top.set(title=network, ylabel="SNR, dB")
        if labeled and mine[0].accuracy is not None:
            _curves(axes[1][column], mine, lambda row: 100 * (row.accuracy or 0))
            best = max(100 * (row.accuracy or 0) for row in mine)
            axes[1][column].set(ylabel="accuracy, %", ylim=(best - 5, best + 0.5))
        elif labeled:
            axes[1][column].axis("off")
    for ax in axes.flat:
        ax.set(xscale="log", xlabel="whole file, kB")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.grid(visible=True, which="both", alpha=0.25)
    axes[0][0].legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _curves(ax: Axes, rows: Sequence[Row], y: Callable[[Row], float]) -> None:
    """Draw a line a method with several settings, a mark for one alone."""
    groups = defaultdict(list)
    for row in rows:
        if not math.isinf(row.snr):
            groups[row.method].append(row)
    for method, group in groups.items():
        if method == "zstd":
            for row, mark in zip(group, "sD", strict=False):
                ax.plot(row.bytes / 1e3, y(row), mark, color=OTHERS, label=name_of(row))
            continue
        name, color = CURVES.get(method, (method, None))
        group.sort(key=lambda row: row.bytes)
        sizes = [row.bytes / 1e3 for row in group]
        ax.plot(sizes, list(map(y, group)), "o-", ms=4, color=color, label=name)


def _lossless(ax: Axes, rows: Sequence[Row]) -> None:
    styles = {"zstd -19": ":", "ZipNN": "--", "lilnetx --lossless": "-"}
    for name, style in styles.items():
        sizes = [r.bytes for r in rows if math.isinf(r.snr) and name in name_of(r)]
        if sizes:
            ax.axvline(min(sizes) / 1e3, ls=style, color=LOSSLESS, lw=1, label=name)
