"""What the user sees; the only file that knows rich.

Results go to stdout, talk to stderr. Text from files is never read as markup, and
whatever is printed goes through `one_line`: no name steers the terminal or fills it.
"""

import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from lilnetx_cli.cli.tables import aligned, wrapped
from lilnetx_cli.errors import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

USUAL_WIDTH = 80  # of a terminal that does not say its own
BAR_ROOM = 16  # for the bar itself and the time, where facts stand beside them

LINE = 1000  # characters of a line of ours; foreign texts in it are cut to 200


@dataclass(frozen=True)
class Output:
    """Where a verb's words go: JSON or tables, quiet, verbose or neither.

    Where stdout is taken by the bytes of a file, results are talk on stderr.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    stdout_taken: bool = False
    started: float = field(default_factory=time.monotonic)

    def note(self, text: str) -> None:
        """Say something on stderr that is not the result."""
        if not self.quiet and not self.json:
            _say(text)

    def detail(self, text: str) -> None:
        """Say under --verbose what was found or done, and when."""
        if self.verbose:
            _say(f"[{time.monotonic() - self.started:7.2f} s] {text}")

    def warn(self, text: str) -> None:
        """Say on stderr what the user should not miss."""
        _say(f"warning: {text}")

    def result(
        self, record: Mapping[str, Any], *lines: str, indent: int | None = None
    ) -> None:
        """Write the result: the record as JSON, or the lines."""
        if self.json:
            write_json(record)
        else:
            self.text(*lines, indent=indent)

    def text(self, *lines: str, indent: int | None = None) -> None:
        """Write lines of a result whose record comes apart; nothing under --json.

        A terminal breaks them between words; what follows is indented.
        """
        if self.stdout_taken:
            for line in lines:
                self.note(line)
        elif not self.json:
            width = self.width
            _write(
                "".join(
                    f"{wrapped(one_line(line, LINE), width, indent=indent)}\n"
                    for line in lines
                )
            )

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        optional: int = 0,
    ) -> None:
        """Print a table; the first column is text, the others are numbers.

        The last `optional` columns may go where a terminal is narrow. Nothing is
        printed under --json.
        """
        if not self.json:
            cells = [[one_line(cell) for cell in row] for row in rows]
            _write(aligned(columns, cells, width=self.width, optional=optional))

    @property
    def width(self) -> int | None:
        """Columns of the terminal on stdout; None where it is none."""
        return terminal_width(sys.stdout)

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator["Ticker"]:
        """Show a bar on stderr while something runs, if stderr is a terminal.

        It goes when the work is done.
        """
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.table import Column

        hidden = self.quiet or self.json or not sys.stderr.isatty()
        with Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[facts]}", markup=False),
            console=_stderr(),
            disable=hidden,
            transient=True,
            expand=True,
        ) as bar:
            yield Ticker(bar, bar.add_task(label, total=total, facts=""))


class Ticker:
    """Moves one progress bar."""

    def __init__(self, bar: "Progress", task: "TaskID") -> None:
        self._bar = bar
        self._task = task

    def move(
        self,
        done: float,
        *,
        total: float | None = None,
        label: str | None = None,
        facts: Sequence[str] = (),
    ) -> None:
        """Set how much is done, and what stands beside the bar.

        Facts come the most important first: the last go where a terminal is narrow.
        """
        task = self._bar.tasks[0]
        if total is not None and total != task.total:
            # Not by `update`, which would forget how fast it went until now.
            task.total, task.finished_time = total, None
        label = task.description if label is None else label
        counts = 2 * len(str(int(task.total or 0)))
        room = self._bar.console.width - len(label) - counts - BAR_ROOM
        text = "left"  # behind the time
        for fact in facts:
            if len(text) + len(fact) + 2 > room:
                break
            text += f"  {fact}"
        self._bar.update(self._task, completed=done, description=label, facts=text)


def terminal_width(stream: TextIO) -> int | None:
    """Return the columns of a terminal; None for what is none."""
    if not stream.isatty():
        return None
    told = os.environ.get("COLUMNS", "")
    try:
        width = (
            int(told) if told.isdecimal() else os.get_terminal_size(stream.fileno())[0]
        )
    except OSError:
        width = 0
    return width or USUAL_WIDTH


def write_json(record: Mapping[str, Any]) -> None:
    """Write one object on a line of stdout; undefined numbers become null."""
    text = json.dumps(_defined(record), allow_nan=False)
    _write(text + "\n")


def error_line(message: str) -> str:
    """Return the one line that a message makes."""
    return one_line(" ".join(message.splitlines()), LINE)


def write_error(
    message: str, code: int, *, as_json: bool, record: Mapping[str, Any]
) -> None:
    """Write one line on stderr and, as JSON, the error object on stdout.

    Streams that take nothing are passed over: the exit code is left to tell.
    """
    line = error_line(message)
    with suppress(OSError):
        sys.stderr.write(f"lilnetx: {line}\n")
    if as_json:
        with suppress(OSError):
            write_json({**record, "error": {"code": code, "message": line}})


def _write(text: str) -> None:
    """Write on stdout; an error says that it is of stdout."""
    try:
        sys.stdout.write(text)
    except OSError as error:
        error.filename = "standard output"
        raise


def change_text(before: float, after: float) -> str:
    """Return how much smaller or larger something became, as 6.4x smaller."""
    if after == before:
        return "the same size"
    if not before or not after:
        return "larger" if after else "smaller"
    if after > before:
        return f"{after / before:.1f}x larger"
    return f"{before / after:.1f}x smaller"


def size_text(size: float) -> str:
    """Return bytes for people: 1 kB is 1000 B."""
    for unit, digits in (("B", 0), ("kB", 1), ("MB", 1)):
        if round(size, digits) < 1000:
            return f"{size:.{digits}f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def percent_text(fraction: float | None) -> str:
    """Return a fraction as percent, or a dash."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def _defined(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {key: _defined(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_defined(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _say(text: str) -> None:
    """Write a line on stderr; a bar that is shown there moves below it."""
    line = wrapped(one_line(text, LINE), terminal_width(sys.stderr))
    sys.stderr.write(line + "\n")


def _stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True)
