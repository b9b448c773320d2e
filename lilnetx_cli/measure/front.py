"""Files of one network, the accuracy of each, and the table that keeps them."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import lnx
from lilnetx_cli.errors import FileError


@dataclass(frozen=True)
class Point:
    """One file of a network.

    Attributes:
        method: how it was made.
        bytes: of the whole file.
        macs: multiply-adds of an input, once dead channels are cut out.
        accuracy: on the test images, as a fraction.
        validation_accuracy: on those held out of the training images.
        file: its path, relative to the folder of the table.
    """

    method: str
    bytes: int
    macs: int
    accuracy: float
    validation_accuracy: float
    file: str


COLUMNS = tuple(field.name for field in fields(Point))


def write_front(points: Sequence[Point], path: Path) -> None:
    """Write points as CSV, one a line under a line of names, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(point) for point in points)
    lnx.write_atomic(text.getvalue().encode(), path)


def read_front(path: Path) -> list[Point]:
    """Read what `write_front` wrote; raises FileError for anything else."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_point(*row) for row in _rows(csv.reader(file))]
    except (csv.Error, TypeError, ValueError) as error:
        raise FileError(
            f"{str(path)!r} is not a table of a sweep: expected the columns"
            f" {', '.join(COLUMNS)}"
        ) from error


def _rows(lines: Iterable[list[str]]) -> list[list[str]]:
    names, *rows = [*lines] or [[]]
    if tuple(names) != COLUMNS:
        raise ValueError(names)
    return rows


def _point(
    method: str, size: str, macs: str, accuracy: str, validation: str, file: str
) -> Point:
    numbers = int(size), int(macs), float(accuracy), float(validation)
    return Point(method, *numbers, file)
