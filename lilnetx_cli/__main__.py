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
    as_json = "--json" in arguments
    record: dict[str, Any] = {}
    try:
        # Imported here, so that Ctrl-C is one line from the first moment on.
        from lilnetx_cli.cli.app import app
        from lilnetx_cli.cli.exit_codes import explain, prepare_streams

        prepare_streams()
        result = app(
            args=arguments or ["--help"], standalone_mode=False, prog_name="lilnetx"
        )
        sys.stdout.flush()
        code = result if isinstance(result, int) else 0
        message = "interrupted" if code == INTERRUPTED else ""
    except KeyboardInterrupt:
        code, message = INTERRUPTED, "interrupted"
    except Exception as error:
        code, message = explain(error)
        record = dict(getattr(error, "record", {}))
    if message:
        from lilnetx_cli.cli.console import write_error

        write_error(message, code, as_json=as_json, record=record)
    return code


if __name__ == "__main__":
    main()
