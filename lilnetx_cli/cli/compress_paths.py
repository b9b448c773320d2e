"""Which file `lilnetx compress` writes for each input; checked before any work."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lilnetx_cli.cli.options import check_output
from lilnetx_cli.cli.standard_streams import STANDARD
from lilnetx_cli.endings import check_lnx
from lilnetx_cli.errors import UsageError

INDEX_ENDING = ".index.json"  # as in checkpoint.sharded, which imports torch


@dataclass(frozen=True)
class Job:
    """An input and the file to write; `STANDARD` is standard input and output."""

    source: Path
    target: Path


def jobs_of(files: Sequence[Path], output: Path | None, *, force: bool) -> list[Job]:
    """Return what is to be written, in the order of the inputs.

    Raises UsageError for an output that exists, unless forced, that is an input, or
    that two inputs would write, and LilnetxError for one that is not a file. Inputs are
    not looked at: one that is missing or damaged stops no other.
    """
    if len(files) > 1:
        _check_several(files, output)
    if len(files) == 2 and output is None and _is_new(files[1]):
        raise UsageError(
            f"{str(files[1])!r} does not exist: to write it, use -o {files[1]}"
        )
    jobs = [Job(file, _target(file, output)) for file in files]
    _check_distinct(jobs)
    inputs = {_identity(file): file for file in files if file.exists()}
    for job in jobs:
        if job.target == STANDARD:
            continue
        if output is None and not job.source.exists():
            continue  # it is named when it is read, and nothing is written
        same = inputs.get(_identity(job.target)) if job.target.exists() else None
        if same is not None:
            which = "the input" if same == job.source else f"the input {str(same)!r}"
            raise UsageError(f"output {str(job.target)!r} is {which}")
        _check_form(job.target)
        check_output(job.target, force=force)
    return jobs


def _is_new(file: Path) -> bool:
    """Tell whether a name is that of a file to write, and not of an input."""
    return file.suffix.lower() == ".lnx" and not file.exists()


def _check_form(target: Path) -> None:
    """Raise UsageError for a name that says another kind of file."""
    check_lnx(target, "compress")
    suffix = target.suffix.lower()
    if suffix not in ("", ".lnx"):
        raise UsageError(
            f"output {str(target)!r}: compress writes .lnx files; end it in .lnx, not"
            f" in {suffix}"
        )


def _check_several(files: Sequence[Path], output: Path | None) -> None:
    if STANDARD in files:
        raise UsageError("standard input (-) cannot be combined with other inputs")
    if output == STANDARD:
        raise UsageError("-o - takes one input: name a folder with -o for several")
    if output is not None and not output.is_dir():
        raise UsageError(
            f"output {str(output)!r} must be an existing folder for several inputs"
        )


def _target(file: Path, output: Path | None) -> Path:
    """Return where to write: beside the input, into a folder, or to a named file."""
    if output is None:
        return STANDARD if file == STANDARD else _beside(file)
    if output != STANDARD and output.is_dir() and file != STANDARD:
        return output / _beside(file).name
    return output


def _beside(file: Path) -> Path:
    """Return model.lnx for model.pt, model.safetensors.index.json and model/."""
    if file.is_dir():
        return file.parent / f"{file.resolve().name}.lnx"
    return file.with_name(file.name.removesuffix(INDEX_ENDING)).with_suffix(".lnx")


def _check_distinct(jobs: Sequence[Job]) -> None:
    writers: dict[Path, Path] = {}
    for job in jobs:
        other = writers.setdefault(job.target.resolve(), job.source)
        if other is not job.source and other == job.source:
            raise UsageError(f"input {str(other)!r} is named twice")
        if other is not job.source:
            raise UsageError(
                f"{str(other)!r} and {str(job.source)!r} would both be written to"
                f" {str(job.target)!r}: compress one of them separately"
            )


def _identity(path: Path) -> tuple[int, int]:
    """Return what two names of one file have in common."""
    status = path.stat()
    return status.st_dev, status.st_ino
