"""Options that several verbs share, and the checks of the paths they name."""

import os
import platform
import stat
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from lilnetx_cli import __version__
from lilnetx_cli.cli.console import Output
from lilnetx_cli.errors import LilnetxError, UsageError

Json = Annotated[
    bool,
    typer.Option("--json", help="Write one JSON object to stdout, also for errors."),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print only results, warnings and errors."),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Also print each step and its time."),
]
Force = Annotated[
    bool, typer.Option("--force", "-f", help="Overwrite output that exists.")
]
MaxSize = Annotated[
    str, typer.Option(help="Refuse a file that decodes to more than this size.")
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Parallel coding processes.",
        show_default="one for each core, if the model is large",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder that holds the data set.",
        show_default="download to ~/.cache/lilnetx/data",
    ),
]
ModelArg = Annotated[
    list[str] | None,
    typer.Option(
        "--model-arg",
        metavar="KEY=COUNT",
        help="Argument of the network, such as width=4. May be repeated.",
        show_default="none",
    ),
]

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Name of the network, see lilnetx models.",
        show_default="what the file says",
    ),
]
InputShape = Annotated[
    str | None,
    typer.Option(
        "--input-shape",
        help="Shape of one input: 3x32x32, or 128:int64 for tokens.",
        show_default="what the file says",
    ),
]
RoundChannels = Annotated[
    int,
    typer.Option(
        "--round-channels",
        min=1,
        max=1024,
        help="Keep channel counts at multiples of this.",
    ),
]

DEFAULT_MAX_SIZE = "16GiB"
PICTURES = (".png", ".svg", ".pdf")
UNITS = {
    "": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9,
    "kb": 10**3, "mb": 10**6, "gb": 10**9,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
}  # fmt: skip


def make_output(json: bool, quiet: bool, verbose: bool) -> Output:
    """Return where a verb's words go; raises UsageError for both wishes."""
    if quiet and verbose:
        raise UsageError("--quiet and --verbose cannot be combined: give one")
    out = Output(json, quiet, verbose)
    out.detail(f"lilnetx {__version__}, Python {platform.python_version()}")
    return out


def parse_size(text: str) -> int:
    """Read 50kB, 1.5MB or 64KiB as bytes; raises UsageError."""
    number = text.strip().rstrip("bBkKmMgGiI")
    unit = text.strip()[len(number) :].lower()
    try:
        size = float(number) * UNITS[unit]
    except (KeyError, ValueError):
        raise UsageError(
            f"{text!r} is not a size: write it as 50kB or 1.5MiB"
        ) from None
    if not 1 <= size < 1 << 62:
        raise UsageError(f"{text!r} is out of bounds: expected 1 byte to 4 EiB")
    return int(size)


def parse_model_args(texts: list[str] | None) -> dict[str, int]:
    """Read key=count pairs; raises UsageError."""
    arguments = {}
    for text in texts or []:
        key, _, value = text.partition("=")
        try:
            arguments[key.strip()] = int(value)
        except ValueError:
            raise UsageError(
                f"--model-arg {text!r} is not of the form key=count"
            ) from None
    return arguments


def network_arguments(model: str | None, texts: list[str] | None) -> dict[str, int]:
    """Read the arguments of a network that the user names; raises UsageError."""
    arguments = parse_model_args(texts)
    if arguments and model is None:
        raise UsageError(
            "--model-arg needs --model: otherwise the file gives the network"
        )
    return arguments


def check_input(path: Path, *, folder: bool = False) -> None:
    """Raise UsageError for a missing path, LilnetxError for one that is not a file.

    With `folder`, a folder will do.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{str(path)!r} does not exist") from None
    if stat.S_ISDIR(mode) and folder:
        return
    if stat.S_ISDIR(mode):
        raise LilnetxError(f"{str(path)!r} is a folder, expected a file")
    if not stat.S_ISREG(mode):
        raise LilnetxError(f"{str(path)!r} is not a regular file")
    if not os.access(path, os.R_OK):
        raise LilnetxError(f"{str(path)!r} may not be read: permission denied")


def check_output(path: Path, *, force: bool, source: Path | None = None) -> None:
    """Raise UsageError where writing would overwrite or has no folder."""
    if path.is_dir():
        raise LilnetxError(f"output {str(path)!r} is a folder, expected a file")
    if path.exists() and not path.is_file():
        raise LilnetxError(f"output {str(path)!r} is not a regular file")
    if source is not None and same_file(path, source):
        raise UsageError(f"output {str(path)!r} is the input: name another with -o")
    if path.exists() and not force:
        raise UsageError(f"output {str(path)!r} exists: overwrite it with -f")
    if not path.parent.is_dir():
        raise UsageError(f"folder {str(path.parent)!r} of the output does not exist")


def same_file(one: Path, other: Path) -> bool:
    """Tell whether two paths are names of one file that exists."""
    return one.exists() and other.exists() and one.samefile(other)


def check_picture(path: Path, *, force: bool, source: Path) -> None:
    """Raise UsageError for a picture in a form that is not drawn, or see above."""
    if path.suffix not in PICTURES:
        raise UsageError(
            f"picture {str(path)!r} has the suffix {path.suffix!r}, expected one of"
            f" {', '.join(PICTURES)}"
        )
    check_output(path, force=force, source=source)


def processes(jobs: int | None) -> int:
    """Return the number of coding processes: the user's, or one for each core."""
    if jobs is not None:
        return jobs
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable is not None else os.cpu_count() or 1


def peak_rss_bytes() -> int | None:
    """Return the largest resident size of this process so far, where known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Elapsed time, rounded to milliseconds."""
        return round(time.monotonic() - self._start, 3)
