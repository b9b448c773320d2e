"""What all pictures share: matplotlib without a display, colors, and the file."""

import io
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import lnx

ACCURACY_COLOR = "#2b6cb0"
VALIDATION_COLOR = "#dd6b20"
SIZE_COLOR = "#2f855a"
ZERO_COLOR = "#cbd5e0"
MARGIN = 0.08  # of an axis, so that no mark touches its end
DPI = 120


def save_figure(figure: Figure, path: Path, *, replace: bool = True) -> None:
    """Write a figure atomically, in the format of the suffix, and close it."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI, format=path.suffix.removeprefix("."))
    plt.close(figure)
    lnx.write_atomic(buffer.getvalue(), path, replace=replace)
