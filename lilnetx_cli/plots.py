"""Pictures of a run and of a file, drawn without a display."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

import lnx

ACCURACY_COLOR = "#2b6cb0"
VALIDATION_COLOR = "#dd6b20"
SIZE_COLOR = "#2f855a"
ZERO_COLOR = "#cbd5e0"
MARGIN = 0.08  # of an axis, so that no mark touches its end
BAR_INCHES = 0.24
DPI = 120
MOST_DROP = 15  # points of accuracy, below which a front is not drawn


@dataclass(frozen=True)
class Bar:
    """What is drawn of one tensor, or of several together.

    Attributes:
        name: fit to be shown.
        bytes: its share of the file.
        zero_weights: share of its weights that are zero, None without latents.
        zero_slices: share of its slices, None without slices of several weights.
    """

    name: str
    bytes: int
    zero_weights: float | None
    zero_slices: float | None


def draw_curves(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw accuracy, file size and MACs over the epochs of `metrics.jsonl`.

    A plain run has no sizes; MACs are there where channels were pressed.
    """
    epochs = [line for line in lines if line["event"] == "epoch"]
    numbers = [line["epoch"] for line in epochs]
    pictures = [_draw_accuracy]
    if any(line["estimated_bytes"] is not None for line in lines):
        pictures.append(_draw_sizes)
    if any(line.get("macs_share") is not None for line in lines):
        pictures.append(_draw_macs)
    figure, grid = plt.subplots(
        1,
        len(pictures),
        figsize=(5 * len(pictures), 4),
        squeeze=False,
        layout="constrained",
    )
    for axes, draw in zip(grid[0], pictures, strict=True):
        draw(axes, epochs, lines)
    first, last = min(numbers, default=0), max(numbers, default=0)
    beside = max(0.5, MARGIN * (last - first))
    for axes in grid[0]:
        axes.grid(alpha=0.3)
        axes.set_xlim(first - beside, last + beside)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.legend(frameon=False)
    _save(figure, path)


def _draw_accuracy(
    axes: Axes, epochs: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]]
) -> None:
    numbers = [line["epoch"] for line in epochs]
    axes.set(title="Accuracy", xlabel="epoch", ylabel="correct, %")
    for key, name, color in (
        ("accuracy", "training, augmented", ACCURACY_COLOR),
        ("validation_accuracy", "validation", VALIDATION_COLOR),
    ):
        values = [100 * line[key] for line in epochs]
        axes.plot(numbers, values, "o-", ms=3, color=color, label=name)
    for final in _finals(lines):
        test = f"test, shipped: {100 * final['accuracy']:.2f} %"
        axes.plot(_last(numbers), 100 * final["accuracy"], "k*", ms=11, label=test)
    axes.margins(y=MARGIN)


def _draw_sizes(
    axes: Axes, epochs: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]]
) -> None:
    numbers = [line["epoch"] for line in epochs]
    axes.set(title="Whole file, estimated", xlabel="epoch", ylabel="kB")
    sizes = [line["estimated_bytes"] / 1000 for line in epochs]
    axes.plot(numbers, sizes, "o-", ms=3, color=SIZE_COLOR, label="epochs")
    for final in _finals(lines):
        size = final["estimated_bytes"] / 1000
        sizes.append(size)
        axes.plot(_last(numbers), size, "k*", ms=11, label=f"shipped: {size:.1f} kB")
    axes.set_ylim(0, (1 + MARGIN) * max(sizes, default=1))


def _draw_macs(
    axes: Axes, epochs: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]]
) -> None:
    numbers = [line["epoch"] for line in epochs]
    axes.set(title="Multiply-adds left", xlabel="epoch", ylabel="of the dense ones, %")
    shares = [100 * line["macs_share"] for line in epochs]
    axes.plot(numbers, shares, "o-", ms=3, color=SIZE_COLOR, label="epochs")
    for final in _finals(lines):
        share = 100 * final["macs_share"]
        label = f"shipped: {share:.1f} %"
        axes.plot(_last(numbers), share, "k*", ms=11, label=label)
    axes.set_ylim(0, 100 * (1 + MARGIN))


def _finals(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == "final"]


def _last(numbers: Sequence[int]) -> int:
    return numbers[-1] if numbers else 0


@dataclass(frozen=True, order=True)
class Mark:
    """What a front shows of one file: bytes, multiply-adds, accuracy as a fraction."""

    bytes: int
    macs: int
    accuracy: float


def draw_front(curves: Mapping[str, Sequence[Mark]], path: Path) -> None:
    """Draw accuracy against the bytes of whole files, a line for each method.

    Where multiply-adds differ, a second picture has accuracy against those. `curves`
    has the files of each method, the most important one first. Lines leave the pictures
    far below the best accuracy.
    """
    marks = [mark for curve in curves.values() for mark in curve]
    pressed = len({mark.macs for mark in marks}) > 1
    width = 14 if pressed else 8
    figure, grid = plt.subplots(
        1, 2 if pressed else 1, figsize=(width, 5), squeeze=False, layout="constrained"
    )
    sizes = {name: [(m.bytes / 1e3, m) for m in x] for name, x in curves.items()}
    _draw_marks(grid[0][0], sizes, "whole file, kB")
    if pressed:
        work = {name: [(m.macs / 1e6, m) for m in x] for name, x in curves.items()}
        _draw_marks(grid[0][1], work, "million multiply-adds, dead channels cut out")
    for axes in grid[0]:
        _limit(axes, [100 * mark.accuracy for mark in marks])
    _save(figure, path)


def _draw_marks(
    axes: Axes, curves: Mapping[str, Sequence[tuple[float, Mark]]], label: str
) -> None:
    """Draw a line for each method; marks come with where they are on the x axis."""
    for number, (method, curve) in enumerate(curves.items()):
        points = sorted(curve)
        axes.plot(
            [place for place, _ in points],
            [100 * mark.accuracy for _, mark in points],
            "o-",
            ms=5,
            lw=1.5 if number else 2.5,
            zorder=3 if number else 4,
            label=method,
        )
    axes.set(xscale="log", xlabel=label, ylabel="test accuracy, %")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")


def _limit(axes: Axes, values: Sequence[float]) -> None:
    """Let an axis of accuracies in percent begin where most has not collapsed."""
    best = max(values)
    shown = [value for value in values if value >= best - MOST_DROP]
    room = MARGIN * max(best - min(shown), 1)
    axes.set_ylim(min(shown) - room, best + room)
    below = len(values) - len(shown)
    if below:
        text = f"outside of the picture: {below} below {best - MOST_DROP:.1f} %"
        axes.set_title(text, fontsize=10)


def draw_contents(
    bars: Sequence[Bar], title: str, path: Path, *, replace: bool = True
) -> None:
    """Draw the bytes of tensors, and what share of their weights is zero.

    Raises FileExistsError for a file that is there where replace is False.
    """
    names = [bar.name.replace("$", r"\$") for bar in bars]
    zeros = any(bar.zero_weights is not None for bar in bars)
    height = 1.8 + BAR_INCHES * len(bars)
    figure, grid = plt.subplots(
        1,
        2 if zeros else 1,
        figsize=(10, height),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    left = grid[0][0]
    divisor, unit = _unit(max((bar.bytes for bar in bars), default=0))
    left.barh(range(len(bars)), [b.bytes / divisor for b in bars], color=ACCURACY_COLOR)
    left.set(title="Bytes in the file", xlabel=unit, ylim=(len(bars) - 0.4, -0.6))
    left.set_yticks(range(len(bars)), names, fontsize=8)
    if zeros:
        _draw_zeros(grid[0][1], bars)
    figure.suptitle(title, fontsize=10)
    _save(figure, path, replace=replace)


def _draw_zeros(axes: Axes, bars: Sequence[Bar]) -> None:
    places = range(len(bars))
    weights = [100 * (bar.zero_weights or 0) for bar in bars]
    slices = [100 * (bar.zero_slices or 0) for bar in bars]
    axes.barh(places, weights, color=ZERO_COLOR, label="zero weights")
    axes.barh(places, slices, height=0.4, color=SIZE_COLOR, label="zero slices")
    axes.set(title="What is zero", xlabel="% of the tensor", xlim=(0, 100))
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), fontsize=8)


def _unit(size: int) -> tuple[int, str]:
    """Return what to divide bytes by, and the name of that: 1 kB is 1000 B."""
    if size < 10_000:
        return 1, "bytes"
    return (1000, "kB") if size < 10_000_000 else (1_000_000, "MB")


def _save(figure: Figure, path: Path, *, replace: bool = True) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI, format=path.suffix.removeprefix("."))
    plt.close(figure)
    lnx.write_atomic(buffer.getvalue(), path, replace=replace)
