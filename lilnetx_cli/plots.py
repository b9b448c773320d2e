"""Pictures of a run, drawn without a display."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import lnx
from lnx.errors import printable

ACCURACY_COLOR = "#2b6cb0"
VALIDATION_COLOR = "#dd6b20"
SIZE_COLOR = "#2f855a"


def draw_curves(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw accuracy and estimated file size over the epochs of `metrics.jsonl`."""
    epochs = [line for line in lines if line["event"] == "epoch"]
    numbers = [line["epoch"] for line in epochs]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.set(title="Accuracy", xlabel="epoch", ylabel="correct, %")
    for key, name, color in (
        ("accuracy", "training, augmented", ACCURACY_COLOR),
        ("validation_accuracy", "validation", VALIDATION_COLOR),
    ):
        values = [100 * line[key] for line in epochs]
        left.plot(numbers, values, "o-", ms=3, color=color, label=name)
    right.set(title="Whole file, estimated", xlabel="epoch", ylabel="kB")
    sizes = [line["estimated_bytes"] / 1000 for line in epochs]
    right.plot(numbers, sizes, "o-", ms=3, color=SIZE_COLOR, label="epochs")
    for final in (line for line in lines if line["event"] == "final"):
        last = numbers[-1] if numbers else 0
        test = f"test, shipped: {100 * final['accuracy']:.2f} %"
        left.plot(last, 100 * final["accuracy"], "k*", ms=11, label=test)
        size = final["estimated_bytes"] / 1000
        right.plot(last, size, "k*", ms=11, label=f"shipped: {size:.1f} kB")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    _save(figure, path)


def draw_contents(about: lnx.Summary, path: Path) -> None:
    """Draw the bytes of each latent tensor, and what share of its slices is zero."""
    tensors = [tensor for tensor in about.tensors if tensor.kind == "latent"]
    names = [printable(tensor.name)[1:-1].replace("$", r"\$") for tensor in tensors]
    height = 1.6 + 0.22 * len(tensors)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, height), sharey=True, layout="constrained"
    )
    places = range(len(tensors))
    sizes = [tensor.bytes for tensor in tensors]
    left.barh(places, sizes, color=ACCURACY_COLOR)
    left.set(title="Payload of each tensor", xlabel="bytes")
    left.set_yticks(places, names, fontsize=8)
    left.invert_yaxis()
    for title, color, values in (
        ("zero weights", "#cbd5e0", [tensor.zero_fraction for tensor in tensors]),
        ("zero slices", SIZE_COLOR, [tensor.slice_sparsity for tensor in tensors]),
    ):
        shares = [100 * (value or 0) for value in values]
        right.barh(places, shares, color=color, label=title)
    right.set(title="What is zero", xlabel="%", xlim=(0, 100))
    figure.legend(frameon=False, loc="outside lower right", ncols=2)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    sizes_text = (
        f"{about.sizes.file:,} bytes whole file, payload {about.sizes.payload:,}"
    )
    figure.suptitle(sizes_text, fontsize=10)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120, format="png")
    plt.close(figure)
    lnx.write_atomic(buffer.getvalue(), path)
