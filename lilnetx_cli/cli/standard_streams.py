"""What `-` means: standard input as a file to read, standard output as one to write.

Both go through a file in the folder for temporary files: readers jump back and forth,
and of a failed run nothing is to reach standard output.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from lilnetx_cli.cli.options import check_input
from lilnetx_cli.errors import LilnetxError, UsageError
from lnx.errors import LnxError, printable

STANDARD = Path("-")
INPUT, OUTPUT = "standard input", "standard output"
BLOCK_BYTES = 1 << 20
JSON_AT = 8  # a .safetensors file: the length of its header, then the header
MOST_HEADER = 1 << 32


def input_name(path: Path) -> str:
    """Return what to call an input."""
    return INPUT if path == STANDARD else str(path)


def output_name(path: Path) -> str:
    """Return what to call an output."""
    return OUTPUT if path == STANDARD else str(path)


@contextmanager
def input_file(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Give a path that can be read: the user's, or a copy of standard input.

    Raises UsageError and LilnetxError for what cannot be read. With `folder`, a folder
    may be given.
    """
    if path != STANDARD:
        check_input(path, folder=folder)
        yield path
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("standard input is a terminal or closed: pipe a file into it")
    with TemporaryDirectory(prefix="lilnetx-") as place:
        copy = _copied(Path(place))
        with _named(copy):
            yield copy


@contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """Give a path to write; what stands there in the end goes where the user wants."""
    if path != STANDARD:
        yield path
        return
    with TemporaryDirectory(prefix="lilnetx-") as place:
        file = Path(place) / "output"
        yield file
        _send(file)


def check_standard_output(*, as_json: bool) -> None:
    """Raise UsageError where standard output is not for the bytes of a file."""
    if as_json:
        raise UsageError("--json is written to standard output: name a file with -o")
    if sys.stdout.isatty():
        raise UsageError("standard output is a terminal: name a file with -o")
    if not hasattr(sys.stdout, "buffer"):
        raise UsageError("standard output is closed: name a file with -o")


def _copied(place: Path) -> Path:
    """Copy standard input to a file whose suffix says what it is."""
    copy = place / "input"
    with copy.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, BLOCK_BYTES)
    with copy.open("rb") as file:
        suffix = _suffix(file.read(JSON_AT + 1))
    return copy.rename(copy.with_suffix(suffix))


def _suffix(head: bytes) -> str:
    """Tell .safetensors from files of torch.save by the first bytes."""
    length, text = int.from_bytes(head[:JSON_AT], "little"), head[JSON_AT:]
    return ".safetensors" if text == b"{" and length < MOST_HEADER else ".pt"


@contextmanager
def _named(copy: Path) -> Iterator[None]:
    """Call the copy what it is a copy of, in whatever is raised."""
    try:
        yield
    except (LilnetxError, LnxError) as error:
        text = str(error)
        for written in (repr(str(copy)), printable(str(copy)), str(copy)):
            text = text.replace(written, INPUT)
        error.args = (text,)
        raise
    except OSError as error:
        if error.filename == str(copy):
            error.filename = INPUT
        raise


def _send(file: Path) -> None:
    """Write a file to standard output; an error says that it is of that."""
    try:
        sys.stdout.flush()
        with file.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer, BLOCK_BYTES)
        sys.stdout.buffer.flush()
    except OSError as error:
        error.filename = OUTPUT
        raise
