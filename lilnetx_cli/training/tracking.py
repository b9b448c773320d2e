"""The lines of a run, sent to a tracker such as tensorboard or wandb, by accelerate."""

from pathlib import Path
from typing import Any

from accelerate.tracking import (
    LOGGER_TYPE_TO_CLASS,
    filter_trackers,
    get_available_trackers,
)

from lilnetx_cli.config import RunConfig
from lilnetx_cli.errors import InputError, UsageError, reason_of, suggestion
from lilnetx_cli.training.reports import EpochReport

PROJECT = "lilnetx"


def check_tracker(name: str | None) -> None:
    """Raise UsageError for a tracker that accelerate has none of, or not here."""
    if name is None or name in map(str, get_available_trackers()):
        return
    known = sorted(map(str, LOGGER_TYPE_TO_CLASS))
    if name in known:
        package = name.replace("_", "-")
        raise UsageError(f"--track {name} needs its package: pip install {package}")
    raise UsageError(f"no tracker is named {name!r}{suggestion(name, known)}")


def start_tracker(accelerator: Any, config: RunConfig, folder: Path) -> None:  # noqa: ANN401
    """Start the tracker of a run, if it has one; its files stand in a folder.

    Raises InputError where it does not start.
    """
    name = config.train.track
    if name is None:
        return
    settings = {
        f"{section}.{key}": value if isinstance(value, (int, float)) else str(value)
        for section, values in config.model_dump(mode="json").items()
        for key, value in values.items()
        if value is not None
    }
    accelerator.project_configuration.set_directories(str(folder))
    accelerator.log_with = filter_trackers([name], str(folder))
    try:
        accelerator.init_trackers(PROJECT, config=settings)
    except Exception as error:  # any: of the tracker's own package
        raise InputError(f"--track {name} fails: {reason_of(error)}") from error


def track(accelerator: Any, report: EpochReport) -> None:  # noqa: ANN401
    """Send the numbers of a line of `metrics.jsonl`, "final" ones by that name."""
    prefix = "final_" if report.event == "final" else ""
    numbers = {
        prefix + key: value
        for key, value in vars(report).items()
        if isinstance(value, (int, float)) and key != "step"
    }
    accelerator.log(numbers, step=report.step)


def end_tracker(accelerator: Any) -> None:  # noqa: ANN401
    """End what the tracker writes.

    What accelerate has for it also parts the processes, which may have more to do.
    """
    for tracker in accelerator.trackers if accelerator.is_main_process else ():
        tracker.finish()
