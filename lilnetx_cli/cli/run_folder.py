"""The folder of a run: free, or one that a run goes on in."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lilnetx_cli.cli.options import check_input
from lilnetx_cli.errors import FileError, LilnetxError, UsageError

if TYPE_CHECKING:
    from lilnetx_cli.config import RunConfig


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
    folder: Path, resume: str, config: "RunConfig", configured: bool, force: bool
) -> tuple[dict[str, Any], "RunConfig"]:
    """Return the state of a run and its own configuration."""
    from lilnetx_cli.config import RESUME, RunConfig
    from lilnetx_cli.training import read_resume

    path = folder / RESUME if resume == "auto" else Path(resume)
    if path.is_dir():
        raise UsageError(
            f"{resume!r} is a folder: to resume its run, use -o {resume} --resume"
        )
    check_input(path)
    if path.resolve().parent != folder.resolve():
        check_folder(folder, force=force)
    content = read_resume(path)
    try:
        stored = RunConfig.model_validate(content["config"])
    except ValueError as error:
        raise FileError(f"{str(path)!r} holds no settings of this version") from error
    check_same(config, stored, configured=configured)
    return content, stored


def check_same(config: "RunConfig", stored: "RunConfig", *, configured: bool) -> None:
    """Raise UsageError where the settings that were given are not those of the run."""
    if configured and config != stored:
        raise UsageError(
            "a resumed run keeps its own settings: leave out all options but"
            " --output, --resume and --sweep"
        )
