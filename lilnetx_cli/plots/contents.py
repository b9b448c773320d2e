"""Where the bytes of a file are, and what is zero."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lilnetx_cli.plots.canvas import (
    ACCURACY_COLOR,
    SIZE_COLOR,
    ZERO_COLOR,
    save_figure,
)

BAR_INCHES = 0.24


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
    save_figure(figure, path, replace=replace)


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
