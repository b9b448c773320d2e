"""`lilnetx` and `python -m lilnetx_cli`."""

import json
import sys
from collections.abc import Sequence

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run the command line; every failure is one line and a documented code."""
    as_json = "--json" in arguments
    try:
        # Imported here, so that Ctrl-C is one line from the first moment on.
        from lilnetx_cli.cli.app import start
        from lilnetx_cli.cli.console import write_error
        from lilnetx_cli.cli.exit_codes import drop_unwritten, explain, flush_stdout

        try:
            code = start(arguments)
            flush_stdout()
        except Exception as error:
            code, message = explain(error)
            record = dict(getattr(error, "record", {}))
            if message:
                write_error(message, code, as_json=as_json, record=record)
        drop_unwritten()
    except KeyboardInterrupt:
        _say_interrupted(as_json=as_json)
        code = INTERRUPTED
    return code


def _say_interrupted(*, as_json: bool) -> None:
    """Say it without our own modules: their import may be what was interrupted."""
    sys.stderr.write("lilnetx: interrupted\n")
    if as_json:
        error = {"code": INTERRUPTED, "message": "interrupted"}
        sys.stdout.write(json.dumps({"error": error}) + "\n")


if __name__ == "__main__":
    main()
