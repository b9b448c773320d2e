"""Accuracy, file size and multiply-adds over a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lilnetx_cli.plots.canvas import (
    ACCURACY_COLOR,
    MARGIN,
    SIZE_COLOR,
    VALIDATION_COLOR,
    save_figure,
)


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
    save_figure(figure, path)


def _draw_accuracy(
    axes: Axes, epochs: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]]
) -> None:
    numbers = [line["epoch"] for line in epochs]
    axes.set(title="Accuracy", xlabel="epoch", ylabel="correct, %")
    for key, name, color in (
        ("accuracy", "training", ACCURACY_COLOR),
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
