"""From any exception to the exit code and the one line that the user sees.

What an error is, its type and attributes say; no message is searched for words, since
messages repeat names from files.
"""

import io
import os
import sys
from collections.abc import Iterable

from lilnetx_cli.errors import (
    LilnetxError,
    alike,
    one_line,
    reason_of,
    typed_reason,
    wanted_of,
)
from lnx import FormatError, LimitError, LnxError

INTERRUPTED = 130
NAMED = 3  # options that may be meant
# How torch's allocator starts its message; the type is a bare RuntimeError.
OUT_OF_MEMORY = "[enforce fail at alloc_cpu.cpp"


def prepare_streams() -> None:
    """Make stdout and stderr take any text: what they cannot show is escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started the process
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_stdout() -> None:
    """Bring what was printed to its reader; an error says that it is of stdout."""
    try:
        sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise


def drop_unwritten() -> None:
    """Forget what a full or closed stream does not take.

    Python would try again at its end, print a traceback, and exit with 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, stream.fileno())
            os.close(sink)


def explain(error: Exception) -> tuple[int, str]:
    """Return the exit code and the line for an error; an empty line says nothing."""
    if isinstance(error, LilnetxError):
        return error.code, str(error)
    if isinstance(error, LnxError):
        return (3 if isinstance(error, (FormatError, LimitError)) else 1), str(error)
    if isinstance(error, BrokenPipeError):
        return 1, ""  # nobody reads any more
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, MemoryError) or _out_of_memory(error):
        return 1, "not enough memory"
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        reason = reason_of(error)
        return 1, f"torch cannot compile the network, leave out --compile: {reason}"
    if type(error).__name__ == "Abort":  # typer's, where a prompt is left
        return INTERRUPTED, "interrupted"
    if hasattr(error, "format_message"):  # typer's own usage errors
        return 2, _usage(error)
    if "LILNETX_DEBUG" in os.environ:
        import traceback

        traceback.print_exc()
    return 1, f"internal error, please report it: {typed_reason(error)}"


def _out_of_memory(error: Exception) -> bool:
    """Tell whether torch ran out of memory, on the CPU or on a GPU."""
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return type(error) is RuntimeError and str(error).startswith(OUT_OF_MEMORY)


def _usage(error: Exception) -> str:
    """Return a usage error of typer's; it knows the verb, whose help says more."""
    meant = getattr(error, "possibilities", None)
    text = error.message if meant else error.format_message()  # type: ignore[attr-defined]
    text = _wrong_value(error) or " ".join(text.split()).rstrip(".")
    near = _near(str(getattr(error, "option_name", "")), meant or ())
    if near:
        text += f", did you mean {' or '.join(near)}?"
    context = getattr(error, "ctx", None)
    verb = context.command_path if context is not None else "lilnetx"
    return f"{text[:1].lower()}{text[1:]} (see {verb} --help)"


def _wrong_value(error: Exception) -> str | None:
    """Return what an option was given and what it takes, where typer asked pydantic."""
    causes = getattr(error.__cause__, "errors", None)
    param = getattr(error, "param", None)
    if causes is None or not getattr(param, "opts", None):
        return None
    cause = causes()[0]
    wanted = wanted_of(cause["msg"])
    if wanted is None:
        return None
    value = one_line(str(cause["input"]))
    return f"{max(param.opts, key=len)} {value}: expected {wanted}"  # type: ignore[union-attr]


def _near(option: str, known: Iterable[str]) -> list[str]:
    """Return the options that are spelled alike, the nearest first."""
    by_word = {name.lstrip("-"): name for name in known}
    words = alike(option.lstrip("-"), by_word)
    return [by_word[word] for word in words[:NAMED]]


def _system(error: OSError) -> tuple[int, str]:
    if isinstance(error, FileExistsError):  # made by another process in the meantime
        return 2, f"output {str(error.filename)!r} exists: overwrite it with -f"
    reason = (error.strerror or reason_of(error)).lower()
    return 1, f"{str(error.filename)!r}: {reason}" if error.filename else reason
