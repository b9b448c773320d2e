"""`lilnetx` and `python -m lilnetx_cli`."""

import sys
from collections.abc import Sequence
from typing import Any

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run the command line; every failure is one line and a documented code."""
    record: dict[str, Any] = {}
    try:
        # Imported here, so that Ctrl-C is one line from the first moment on.
        from lilnetx_cli.cli.app import start
        from lilnetx_cli.cli.exit_codes import explain, flush_stdout

        code = start(arguments)
        flush_stdout()
        message = "interrupted" if code == INTERRUPTED else ""
    except KeyboardInterrupt:
        code, message = INTERRUPTED, "interrupted"
    except Exception as error:
        code, message = explain(error)
        record = dict(getattr(error, "record", {}))
    _end(message, code, record, as_json="--json" in arguments)
    return code


def _end(message: str, code: int, record: dict[str, Any], *, as_json: bool) -> None:
    """Say what went wrong, if anything did, and let go of the streams."""
    from lilnetx_cli.cli.console import write_error
    from lilnetx_cli.cli.exit_codes import drop_unwritten

    if message:
        write_error(message, code, as_json=as_json, record=record)
    drop_unwritten()


if __name__ == "__main__":
    main()
