"""Text in columns, fitted to the width of a terminal."""

import textwrap
from collections.abc import Sequence

GAP = 2
NAME = 40  # columns that may go do so before names become shorter than this


def aligned(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None = None,
    optional: int = 0,
) -> str:
    """Return lines of columns: the first is text, the others are numbers.

    Titles may have several lines. Where they do not fit `width`, the last `optional`
    columns go, then texts of the first column are cut in their middle. Without a width
    nothing is left out.
    """
    titles = _title_rows(columns)
    widths = _widths([*titles, *rows])
    if width is not None:
        widths = _fitted(widths, width, optional)
    return "".join(_line(row, widths) for row in (*titles, *rows))


def shortened(text: str, room: int) -> str:
    """Return a text of at most `room` characters; its middle goes."""
    if len(text) <= room:
        return text
    if room < 5:
        return text[: max(room, 0)]
    head = (room - 3) // 2
    return f"{text[:head]}...{text[len(text) - (room - 3 - head) :]}"


def wrapped(text: str, width: int | None, *, indent: int | None = None) -> str:
    """Break a line between words where it is longer than the width.

    What follows is indented, by two more than the line itself if nothing else is said.
    """
    if width is None or len(text) <= width:
        return text
    if indent is None:
        indent = len(text) - len(text.lstrip()) + 2
    return textwrap.fill(
        text,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _title_rows(columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Return titles as rows, the shorter ones at the bottom."""
    parts = [title.split("\n") for title in columns]
    height = max(map(len, parts))
    padded = [[""] * (height - len(lines)) + lines for lines in parts]
    return list(zip(*padded, strict=True))


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _fitted(widths: list[int], width: int, optional: int) -> list[int]:
    """Return the widths of the columns that stay, that of the first cut."""
    needed = min(widths[0], NAME)
    while optional and needed + _room(widths) > width:
        widths, optional = widths[:-1], optional - 1
    first = max(min(widths[0], width - _room(widths)), 8)
    return [first, *widths[1:]]


def _room(widths: list[int]) -> int:
    """Return what all columns but the first take."""
    return sum(width + GAP for width in widths[1:])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first = shortened(row[0], widths[0]).ljust(widths[0])
    rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=False))
    return (" " * GAP).join((first, *rest)).rstrip() + "\n"
