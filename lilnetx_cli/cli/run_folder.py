"""The folder of a run: free, or one that a run goes on in."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lilnetx_cli.cli.options import check_input
from lilnetx_cli.errors import FileError, LilnetxError, UsageError

if TYPE_CHECKING:
    from lilnetx_cli.config import RunConfig


SWEEP = "sweep.toml"  # settings of a sweep
# Settings of which a run that goes on may have others: where it runs and reads.
MAY_CHANGE = ("data.dir", "data.workers", "train.device")


def check_folder(folder: Path, *, force: bool) -> None:
    """Refuse a folder that holds a run, or that cannot be made."""
    if folder.exists() and not folder.is_dir():
        raise LilnetxError(f"output {str(folder)!r} is a file, expected a folder")
    from lilnetx_cli.config import RUN_FILES

    found = next((name for name in RUN_FILES if (folder / name).exists()), None)
    if found is not None and not force:
        raise UsageError(
            f"{str(folder)!r} holds a run ({found}): use --resume,"
            " or overwrite it with -f"
        )


def read_run(
    folder: Path,
    resume: str,
    config: "RunConfig",
    configured: bool,
    force: bool,
    moved: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], "RunConfig"]:
    """Return the state of a run and its own configuration.

    `moved` are settings of `MAY_CHANGE` that are others now.
    """
    from lilnetx_cli.config import RESUME, RunConfig
    from lilnetx_cli.training import read_resume

    path = folder / RESUME if resume == "auto" else Path(resume)
    if path.is_dir():
        raise UsageError(
            f"{resume!r} is a folder: to resume its run, use -o {resume} --resume"
        )
    if resume == "auto" and not path.exists() and (folder / SWEEP).exists():
        raise UsageError(f"{str(folder)!r} holds a sweep: add --sweep to resume it")
    check_input(path)
    if path.resolve().parent != folder.resolve():
        check_folder(folder, force=force)
    content = read_resume(path)
    try:
        values = content["config"]
        for name, value in (moved or {}).items():
            section, key = name.split(".")
            values = {**values, section: {**values[section], key: value}}
        stored = RunConfig.model_validate(values)
    except (ValueError, TypeError, KeyError) as error:
        raise FileError(f"{str(path)!r} holds no settings of this version") from error
    check_same(config, stored, configured=configured)
    _check_place(stored, content.get("started_in"))
    return content, stored


def _check_place(config: "RunConfig", started_in: object) -> None:
    """Raise UsageError where files are missing here that were there at the start."""
    if not isinstance(started_in, str):
        return
    for file in _files_of(config):
        if not file.exists() and Path(started_in, file).exists():
            raise UsageError(
                f"{str(file)!r} is relative to {started_in!r}, where the run was"
                " started: resume it from there"
            )


def _files_of(config: "RunConfig") -> Iterator[Path]:
    """Yield what else a run reads."""
    from lilnetx_cli.user_code import is_factory

    for name in (config.model.name, config.data.name):
        if is_factory(name):
            yield Path(name.rpartition(":")[0])
    for path in (config.data.dir, config.train.teacher):
        if path is not None:
            yield path


def check_same(config: "RunConfig", stored: "RunConfig", *, configured: bool) -> None:
    """Raise UsageError where the settings that were given are not those of the run."""
    if configured and config != stored:
        raise UsageError(
            "a resumed run keeps its own settings: leave out all options but"
            " --output, --resume and --sweep, and for a single run --data-dir,"
            " --workers and --device"
        )
