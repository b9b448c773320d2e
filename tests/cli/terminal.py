"""A terminal for tests: what stays on the screen after all that was written."""

import io
import re

CONTROL = re.compile(r"\x1b\[\??([\d;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+")


class Terminal(io.StringIO):
    """A stream that says it is one; its width is that of COLUMNS."""

    def isatty(self):
        return True


def screen(text, width):
    """Return the lines of a screen that has all of the text, without trailing blanks.

    Raises ValueError for a line that is longer than the screen is wide.
    """
    lines, row, column = [""], 0, 0
    for match in CONTROL.finditer(text):
        part, count = match.group(), int(match.group(1) or 1) if match[2] else 0
        if part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif match[2] == "A":
            row -= count
        elif match[2] == "K":
            lines[row] = ""
        elif match[2] is None:
            if column + len(part) > width:
                raise ValueError(f"longer than {width} columns: {part!r}")
            rest = lines[row][column + len(part) :]
            lines[row] = lines[row][:column].ljust(column) + part + rest
            column += len(part)
    return [line.rstrip() for line in lines]
