"""One joint run: task, rate and slice prior; ends with the network that ships."""

from lilnetx_cli.training.devices import launched, leave
from lilnetx_cli.training.loop import Stopped
from lilnetx_cli.training.reach import OutOfReach
from lilnetx_cli.training.reports import EpochReport, Observer, StepReport
from lilnetx_cli.training.run import RunResult, run_training
from lilnetx_cli.training.state import read_resume

__all__ = [
    "EpochReport",
    "Observer",
    "OutOfReach",
    "RunResult",
    "StepReport",
    "Stopped",
    "launched",
    "leave",
    "read_resume",
    "run_training",
]
