"""What the user sees; the only file that knows rich.

Results go to stdout, talk to stderr. Text from files is never read as markup.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn


@dataclass(frozen=True)
class Output:
    """Where a verb's words go: JSON or tables, quiet or not."""

    json: bool = False
    quiet: bool = False

    def note(self, text: str) -> None:
        """Say something on stderr that is not the result."""
        if not self.quiet and not self.json:
            _stderr().print(text, markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Say on stderr what the user should not miss."""
        _stderr().print(f"warning: {text}", markup=False, soft_wrap=True)

    def result(self, record: Mapping[str, Any], *lines: str) -> None:
        """Write the result: the record as JSON, or the lines."""
        if self.json:
            write_json(record)
            return
        for line in lines:
            sys.stdout.write(line + "\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; the first column is text, the others are numbers."""
        if not sys.stdout.isatty():
            sys.stdout.write(_plain_table([columns, *rows]))
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for number, column in enumerate(columns):
            table.add_column(
                column, justify="right" if number else "left", overflow="fold"
            )
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator["Ticker"]:
        """Show a bar on stderr while something runs, if stderr is a terminal."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        hidden = self.quiet or self.json or not sys.stderr.isatty()
        columns: tuple[ProgressColumn, ...] = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=_stderr(), disable=hidden) as bar:
            yield Ticker(bar, bar.add_task(label, total=total))


class Ticker:
    """Moves one progress bar."""

    def __init__(self, bar: "Progress", task: Any) -> None:  # noqa: ANN401
        self._bar = bar
        self._task = task

    def move(self, done: int, label: str | None = None) -> None:
        """Set how much is done, and what stands beside the bar."""
        if label is None:
            self._bar.update(self._task, completed=done)
        else:
            self._bar.update(self._task, completed=done, description=label)


def write_json(record: Mapping[str, Any]) -> None:
    """Write one object on a line of stdout; undefined numbers become null."""
    text = json.dumps(_defined(record), allow_nan=False)
    sys.stdout.write(text + "\n")


def write_error(
    message: str, code: int, *, as_json: bool, record: Mapping[str, Any]
) -> None:
    """Write one line on stderr, or the error object on stdout."""
    if as_json:
        write_json({**record, "error": {"code": code, "message": message}})
    line = " ".join(message.splitlines())
    sys.stderr.write(f"lilnetx: {line}\n")


def size_text(size: float) -> str:
    """Return bytes for people: 1 kB is 1000 B."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def percent_text(fraction: float | None) -> str:
    """Return a fraction as percent, or a dash."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def _plain_table(rows: Sequence[Sequence[str]]) -> str:
    """Align columns for a pipe, which has no width to fold at."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [
            cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)
        ]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip() + "\n")
    return "".join(lines)


def _defined(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {key: _defined(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_defined(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _stderr() -> Console:
    return Console(stderr=True)
