"""`lilnetx` and `python -m lilnetx_cli`."""

import os
import sys
import traceback
from collections.abc import Sequence

from lilnetx_cli.app import app
from lilnetx_cli.console import write_error
from lilnetx_cli.errors import LilnetxError
from lnx import FormatError, LimitError, LnxError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run the command line; every failure is one line and a documented code."""
    as_json = "--json" in arguments
    try:
        result = app(args=arguments, standalone_mode=False, prog_name="lilnetx")
        sys.stdout.flush()
    except KeyboardInterrupt:
        write_error("interrupted", INTERRUPTED, as_json=False)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads any more
        return 1
    except Exception as error:
        code, message = _explain(error)
        write_error(message, code, as_json=as_json)
        return code
    return result if isinstance(result, int) else 0


def _explain(error: Exception) -> tuple[int, str]:
    """Return the exit code and the line for an error."""
    if isinstance(error, LilnetxError):
        return error.code, str(error)
    if isinstance(error, LnxError):
        return (3 if isinstance(error, (FormatError, LimitError)) else 1), str(error)
    if isinstance(error, OSError):
        return 1, _system(error)
    if isinstance(error, MemoryError):
        return 1, "not enough memory"
    if type(error).__name__ == "Abort":  # typer's, where a prompt is left
        return INTERRUPTED, "interrupted"
    if hasattr(error, "format_message"):  # typer's own usage errors
        return 2, _usage(error)
    if "LILNETX_DEBUG" in os.environ:
        traceback.print_exc()
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return 1, f"internal error, please report it: {text}"


def _usage(error: Exception) -> str:
    message: str = error.format_message()  # type: ignore[attr-defined]
    text = " ".join(message.split()).rstrip(".")
    return f"{text[:1].lower()}{text[1:]} (see lilnetx --help)"


def _system(error: OSError) -> str:
    if error.strerror and error.filename:
        return f"{str(error.filename)!r}: {error.strerror.lower()}"
    return str(error)


if __name__ == "__main__":
    main()
