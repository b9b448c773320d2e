"""The network and the inputs that the user names beside a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lilnetx_cli.cli.asked import Asked
from lilnetx_cli.cli.options import network_arguments
from lilnetx_cli.errors import UsageError

if TYPE_CHECKING:
    from lilnetx_cli.data.calibration import CalibrationData


@dataclass(frozen=True)
class GraphAsked:
    """Which network the tensors are of: a name, its arguments, what it takes."""

    name: str
    arguments: Mapping[str, int]
    form: str | None


@dataclass(frozen=True)
class CalibAsked:
    """Which inputs to run the network on."""

    name: str
    folder: Path | None
    recalibrate: bool

    @cached_property
    def data(self) -> "CalibrationData":
        """Read the inputs, once for all files of a call; may raise LilnetxError."""
        from lilnetx_cli.data.calibration import load_calibration

        return load_calibration(self.name, self.folder)


def graph_asked(
    model: str | None, arguments: list[str] | None, form: str | None
) -> GraphAsked | None:
    """Return the network that is named; raises UsageError for a part of one."""
    counts = network_arguments(model, arguments)
    if model is None:
        if form is not None:
            raise UsageError(
                "--input-shape needs --model: otherwise the file gives the shape"
            )
        return None
    return GraphAsked(model, counts, form)


def calib_asked(
    name: str | None, folder: Path | None, asked: Asked, *, recalibrate: bool
) -> CalibAsked | None:
    """Return the inputs that are named; raises UsageError for what needs some."""
    if name is not None:
        if asked.lossless:
            raise UsageError("--calib and --lossless cannot be combined: give one")
        return CalibAsked(name, folder, recalibrate)
    needing = {
        "--max-accuracy-drop": asked.drop is not None,
        "--data-dir": folder is not None,
        "--no-recalibrate": not recalibrate,
    }
    for option, given in needing.items():
        if given:
            raise UsageError(f"{option} needs --calib")
    return None
