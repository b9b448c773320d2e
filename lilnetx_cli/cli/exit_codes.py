"""From any exception to the exit code and the one line that the user sees."""

import io
import os
import sys

from lilnetx_cli.errors import LilnetxError
from lnx import FormatError, LimitError, LnxError


def prepare_streams() -> None:
    """Make stdout and stderr take any text: what they cannot show is escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started the process
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def explain(error: Exception) -> tuple[int, str]:
    """Return the exit code and the line for an error; an empty line says nothing."""
    if isinstance(error, LilnetxError):
        # An error in a process that loads data comes with that process's traceback.
        return error.code, str(error).rsplit("Error: ", maxsplit=1)[-1].strip()
    if isinstance(error, LnxError):
        return (3 if isinstance(error, (FormatError, LimitError)) else 1), str(error)
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads any more
        return 1, ""
    if isinstance(error, OSError):
        return 1, _system(error)
    if isinstance(error, MemoryError) or _out_of_memory(error):
        return 1, "not enough memory"
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        reason = " ".join(str(error).split())[:160]
        return 1, f"torch cannot compile the network, leave out --compile: {reason}"
    if type(error).__name__ == "Abort":  # typer's, where a prompt is left
        return 130, "interrupted"
    if hasattr(error, "format_message"):  # typer's own usage errors
        return 2, _usage(error)
    if "LILNETX_DEBUG" in os.environ:
        import traceback

        traceback.print_exc()
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return 1, f"internal error, please report it: {text}"


def _out_of_memory(error: Exception) -> bool:
    """Tell whether torch ran out of memory, on the CPU or on a GPU."""
    named = type(error).__name__ == "OutOfMemoryError"
    return named or "can't allocate memory" in str(error)


def _usage(error: Exception) -> str:
    message: str = error.format_message()  # type: ignore[attr-defined]
    text = " ".join(message.split()).rstrip(".")
    return f"{text[:1].lower()}{text[1:]} (see lilnetx --help)"


def _system(error: OSError) -> str:
    if error.strerror and error.filename:
        return f"{str(error.filename)!r}: {error.strerror.lower()}"
    return str(error)
