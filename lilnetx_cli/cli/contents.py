"""What is in a file: what its bytes are for, and the rows of its tensors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lnx
from lilnetx_cli.cli.console import percent_text, size_text
from lilnetx_cli.measure.parts import Parts, is_weight
from lilnetx_cli.measure.sparsity import share_of_zero
from lilnetx_cli.metadata import CUTS
from lnx.errors import printable

COLUMNS = ("tensor", "shape", "kind", "bytes", "bits/weight", "zeros", "slices", "rows",
           "columns", "coding")  # fmt: skip
SHORT_COLUMNS = ("tensor", "shape", "bytes", "bits a\nweight", "zero\nweights",
                 "zero\nslices", "zero\nrows", "zero\ncolumns")  # fmt: skip
PLAIN_COLUMNS = 4  # of the short ones: the others tell of latents
OPTIONAL = 2  # the last columns, where a terminal is narrow
MOST_ROWS = 100


def parts_text(parts: Parts) -> str:
    """Return what a file is made of, on one line."""
    named = (
        ("payload", parts.payload),
        ("weights stored exactly", parts.exact_weights),
        ("side information", parts.side),
        ("overhead", parts.overhead),
    )
    return " + ".join(f"{name} {size_text(size)}" for name, size in named if size)


def zero_slices(tensors: Sequence[lnx.TensorSummary]) -> float | None:
    """Return the share of all slices that are zero; None without slices."""
    return share_of_zero((t.zero_slices, t.slices) for t in tensors)


def zero_weights(tensors: Sequence[lnx.TensorSummary]) -> float | None:
    """Return the share of all weights with latents that are zero."""
    return share_of_zero(
        (round(t.zero_fraction * t.elements), t.elements)
        for t in tensors
        if t.zero_fraction is not None
    )


def dead_rows_text(tensors: Sequence[lnx.TensorSummary]) -> str | None:
    """Say how many outputs of layers are zero and still there; None without any."""
    rows = [(t.row_sparsity or 0, t.shape[0]) for t in tensors if len(t.shape) > 1]
    dead = sum(round(share * count) for share, count in rows)
    if not dead:
        return None
    return (
        f"{dead:,} of {sum(count for _, count in rows):,} rows of weights are zero:"
        " decompress --pruned removes channels where possible"
    )


def record_text(record: Mapping[str, Any]) -> str:
    """Return what a file says of its network or its training, the name first."""
    values = {key: value for key, value in record.items() if key != "name"}
    inner = values.pop("args", None)
    if isinstance(inner, Mapping):
        values = {**inner, **values}
    elif inner is not None:
        values["args"] = inner
    name = [str(record["name"])] if "name" in record else []
    shown = name + [
        key if key == CUTS else f"{key} {value}" for key, value in values.items()
    ]
    return printable(", ".join(shown))[1:-1]


def full_rows(tensors: Sequence[lnx.TensorSummary]) -> list[tuple[str, ...]]:
    """Return a row of COLUMNS for each tensor."""
    return [(*(row := _row(t))[:2], t.kind, *row[2:], t.coding or "-") for t in tensors]


def short_rows(
    tensors: Sequence[lnx.TensorSummary], *, every: bool
) -> list[tuple[str, ...]]:
    """Return rows of SHORT_COLUMNS: one a weight, and one a kind of the others.

    Of very many weights the largest are shown. With `every` each tensor has its row.
    """
    if every:
        return [_row(t) for t in tensors]
    weights = [t for t in tensors if is_weight(t)]
    shown, others = largest(weights, MOST_ROWS)
    rows = [_row(t) for t in shown]
    if others:
        rows.append(_sum_row(f"... and {len(others):,} others", others))
    for title, belongs in GROUPS:
        group = [t for t in tensors if belongs(t)]
        if group:
            rows.append(_sum_row(title.format(count=f"{len(group):,}"), group))
    if len(rows) > 1:
        rows.append(_sum_row(f"all {len(tensors):,} tensors", tensors))
    return rows


def largest(
    tensors: Sequence[lnx.TensorSummary], most: int
) -> tuple[list[lnx.TensorSummary], list[lnx.TensorSummary]]:
    """Return the largest tensors in their own order, and all others."""
    order = sorted(range(len(tensors)), key=lambda i: -tensors[i].bytes)
    chosen = set(order[:most])
    return (
        [t for i, t in enumerate(tensors) if i in chosen],
        [t for i, t in enumerate(tensors) if i not in chosen],
    )


def short_columns(tensors: Sequence[lnx.TensorSummary]) -> tuple[str, ...]:
    """Return the columns that have something to say."""
    latents = any(t.kind == "latent" for t in tensors)
    return SHORT_COLUMNS if latents else SHORT_COLUMNS[:PLAIN_COLUMNS]


def shape_text(shape: Sequence[int]) -> str:
    """Return 16x3x3x3, or what a shape without dimensions is."""
    return "x".join(map(str, shape)) or "scalar"


def _is_side(tensor: lnx.TensorSummary) -> bool:
    return tensor.kind == "exact" and not is_weight(tensor)


GROUPS: tuple[tuple[str, Callable[[lnx.TensorSummary], bool]], ...] = (
    ("{count} norms, biases, buffers", _is_side),
    ("{count} constants", lambda tensor: tensor.kind == "fill"),
    ("{count} tied to others", lambda tensor: tensor.kind == "alias"),
)


def _row(tensor: lnx.TensorSummary) -> tuple[str, ...]:
    rate = tensor.bits_per_weight
    return (
        printable(tensor.name)[1:-1],
        shape_text(tensor.shape),
        f"{tensor.bytes:,}",
        "-" if rate is None else f"{rate:.3f}",
        percent_text(tensor.zero_fraction),
        percent_text(tensor.slice_sparsity),
        percent_text(tensor.row_sparsity),
        percent_text(tensor.column_sparsity),
    )


def _sum_row(title: str, tensors: Sequence[lnx.TensorSummary]) -> tuple[str, ...]:
    size = sum(tensor.bytes for tensor in tensors)
    count = sum(t.elements for t in tensors if t.kind != "alias")
    return (
        title,
        "",
        f"{size:,}",
        f"{8 * size / count:.3f}" if count else "-",
        percent_text(zero_weights(tensors)),
        percent_text(zero_slices(tensors)),
        "",
        "",
    )
