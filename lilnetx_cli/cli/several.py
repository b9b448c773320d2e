"""Several inputs of `lilnetx compress` in one call."""

from collections.abc import Sequence
from typing import Any

from lilnetx_cli.cli.compress_paths import Job
from lilnetx_cli.cli.compressed_text import default_note, lines_of, record_of
from lilnetx_cli.cli.compressing import Compressed, Settings, compress_file
from lilnetx_cli.cli.console import Output, error_line, write_error
from lilnetx_cli.cli.exit_codes import explain
from lilnetx_cli.cli.options import Stopwatch


def compress_all(jobs: Sequence[Job], settings: Settings, out: Output) -> int:
    """Compress every input; one that fails is one line on stderr, and stops no other.

    Returns the largest exit code. The result of --json comes at the end, with an entry
    for each input in its key `files`.
    """
    records: list[dict[str, Any]] = []
    worst, by_default = 0, False
    for job in jobs:
        watch = Stopwatch()
        try:
            done = compress_file(job, settings, out)
        except Exception as error:
            code, message = explain(error)
            worst = max(worst, code)
            records.append(_failed(job, code, message))
        else:
            records.append(_told(done, watch.seconds, out))
            by_default = by_default or done.by_default
    if by_default:
        out.note(default_note())
    if out.json:
        out.result({"files": records})
    return worst


def _told(done: Compressed, seconds: float, out: Output) -> dict[str, Any]:
    out.text(*lines_of(done))
    return record_of(done, seconds)


def _failed(job: Job, code: int, message: str) -> dict[str, Any]:
    """Say what went wrong with which input; most messages name it already."""
    name = str(job.source)
    if not message.startswith((repr(name), f"folder {name!r}", "output ")):
        message = f"{name!r}: {message}"
    write_error(message, code, as_json=False, record={})
    return {"input": name, "error": {"code": code, "message": error_line(message)}}
