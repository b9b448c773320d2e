"""The record of `evaluate` as lines and a table."""

from pathlib import Path
from typing import Any

from lilnetx_cli.cli.console import percent_text, size_text
from lilnetx_cli.errors import one_line

Row = tuple[str, ...]


def lines_of(file: Path, record: dict[str, Any]) -> list[str]:
    """Return what stands above the table."""
    uncounted = ", ".join(record["uncounted_operations"]) or "nothing"
    right = "accuracy not measured"
    facts = [size_text(record["file_bytes"])]
    if record["metric"] is not None:
        right = ", ".join(
            f"{one_line(name)} {number_text(number)}"
            for name, number in record["metric"].items()
        )
    elif record["accuracy"] is not None:
        right = (
            f"accuracy {100 * record['accuracy']:.2f} % of {record['examples']:,}"
            " test images"
        )
        facts.insert(0, f"loss {record['loss']:.4f}")
    times = record["latencies_ms"]
    facts += [
        f"{percent_text(record[key])} of the {name} zero"
        for key, name in (("slice_sparsity", "slices"), ("channel_sparsity", "filters"))
        if record[key] is not None
    ]
    counted = record["macs"] is not None
    return [
        f"{file}: {right}",
        f"  {', '.join(facts)}",
        *([f"  threads for the times: {times[0]['threads']}"] if times else []),
        *([f"  not counted in MACs: {uncounted}"] if counted else []),
        "",
    ]


def table_of(record: dict[str, Any]) -> tuple[Row, list[Row]]:
    """Return titles and rows: the dense network, beside the pruned one if there is."""
    smaller = record.get("pruned")
    columns = [record] if smaller is None else [record, smaller]
    rows: list[Row] = []
    for name in record["metric"] or {}:
        values = [x["metric"].get(name) for x in columns]
        row = (one_line(name), *map(number_text, values))
        rows.append((*row, _difference(*values)) if smaller else row)
    if record["metric"] is None:
        row = ("accuracy", *(_accuracy_text(x["accuracy"]) for x in columns))
        rows.append((*row, _alike(record, smaller)) if smaller else row)
    for title in ("parameters", "MACs"):
        counts = [x[title.lower()] for x in columns]
        row = (title, *("-" if count is None else f"{count:,}" for count in counts))
        rows.append((*row, _fewer(*counts)) if smaller else row)
    for number, entry in enumerate(record["latencies_ms"]):
        times = [x["latencies_ms"][number] for x in columns]
        row = (f"{entry['engine']}, batch {entry['batch']}", *map(_time_text, times))
        medians = [time["median"] for time in times]
        rows.append((*row, f"{medians[0] / medians[1]:.2f}x") if smaller else row)
    titles = ("", "dense", "pruned", "ratio") if smaller else ("", "dense")
    return titles, rows


def number_text(number: float | None) -> str:
    """Return a number of a metric with five digits, a count with all of its own."""
    if number is None:
        return "-"
    return f"{number:,}" if isinstance(number, int) else f"{number:.5g}"


def _difference(dense: float | None, pruned: float | None) -> str:
    if dense is None or pruned is None:
        return "-"
    return "equal" if dense == pruned else f"{pruned - dense:+.2g}"


def _alike(record: dict[str, Any], smaller: dict[str, Any]) -> str:
    if record["accuracy"] is None:
        return "-"
    same = smaller["predictions"] == record["predictions"]
    return "predicted alike" if same else "DIFFERENT"


def _fewer(dense: int | None, pruned: int | None) -> str:
    """Return how much less the pruned network takes."""
    return "-" if dense is None or pruned is None else f"{dense / max(1, pruned):.2f}x"


def _time_text(entry: dict[str, Any]) -> str:
    return f"{_short(entry['median'])} ms, p95 {_short(entry['p95'])}"


def _short(time: float) -> str:
    """Return milliseconds with no more digits than a timing has."""
    return f"{time:.{2 if time < 10 else 1 if time < 100 else 0}f}"


def _accuracy_text(accuracy: float | None) -> str:
    return "-" if accuracy is None else f"{100 * accuracy:.2f} %"
