"""Accuracy of files against their bytes, and against multiply-adds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from lilnetx_cli.plots.canvas import MARGIN, save_figure

MOST_DROP = 15  # points of accuracy, below which a front is not drawn


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
    save_figure(figure, path)


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
