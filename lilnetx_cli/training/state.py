"""The state of a run, and how it is written and read back."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx_cli.checkpoint.model_pt import RESUME_MARK
from lilnetx_cli.checkpoint.torch_file import load_torch
from lilnetx_cli.config import RunConfig
from lilnetx_cli.data import EpochSampler, Splits
from lilnetx_cli.errors import FileError, InputError, reason_of
from lilnetx_cli.nn.channel_prior import Channels
from lilnetx_cli.processes import Processes, processes_of
from lilnetx_cli.training.averaging import Average
from lilnetx_cli.training.growing import Growth
from lilnetx_cli.training.macs_control import MacsController
from lilnetx_cli.training.size_control import SizeController
from lilnetx_cli.training.smaller import form_of
from lilnetx_cli.training.steering_state import restore_steering, steering_state
from lnx import write_atomic

RESUME_VERSION = 9


@dataclass
class Totals:
    """Sums over the epoch so far, of all processes; a step adds its mean loss.

    Penalty and bits are known of the `rated` steps, at which the penalty acts; until
    the first of an epoch, `before` is the mean penalty of the epoch before.
    """

    steps: int = 0
    examples: int = 0
    hits: int = 0
    task: float = 0.0
    penalty: float = 0.0
    bits: float = 0.0
    rated: int = 0
    before: float = 0.0

    @property
    def mean_penalty(self) -> float:
        """Mean over the rated steps, or that of the epoch before."""
        return self.penalty / self.rated if self.rated else self.before

    @property
    def loss(self) -> float:
        """Mean of task and penalty together."""
        return self.task / self.steps + self.mean_penalty


@dataclass
class Session:
    """One run in progress; the only thing here that changes as it goes.

    Attributes:
        model: the reparameterized network.
        forward: the same network as the device runs it (wrapped, compiled).
        architecture: the record from which the network is rebuilt.
        spread: size of the latents, in quantization steps, but for what they learned.
        started: what was taken over of a trained network, None from scratch.
        growth: how the quantization steps grow, None where they stay.
        controller: of the penalty, None where its weights stay.
        channels: that are coupled, None where nothing presses them.
        macs: the controller of the channel prior, None where its weight stays.
        average: of the weights, which ships, None where the weights themselves do.
        teacher: whose outputs the network also learns from, or None.
        step: optimizer steps done, of `steps`.
        totals: sums over the present epoch.
        seconds: time spent in earlier sessions of this run.
        named: layers of which the user knows that they are about to vanish.
    """

    config: RunConfig
    splits: Splits
    accelerator: Any
    model: nn.Module
    forward: Any
    optimizer: Any
    sampler: EpochSampler
    loader: Any
    architecture: dict[str, Any]
    spread: float
    started: str | None = None
    growth: Growth | None = None
    controller: SizeController | None = None
    teacher: nn.Module | None = None
    channels: Channels | None = None
    macs: MacsController | None = None
    average: Average | None = None
    step: int = 0
    totals: Totals = field(default_factory=Totals)
    seconds: float = 0.0
    named: set[str] = field(default_factory=set)

    @property
    def processes(self) -> Processes:
        """The processes that share the run."""
        return processes_of(self.accelerator)

    @property
    def images_per_step(self) -> int:
        """Images that all processes see in one step."""
        settings = self.config.train
        return settings.batch_size * settings.accumulate * self.processes.count

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of the penalty that the settings ask for."""
        weights: dict[str, float] = self.config.loss.model_dump()
        return weights

    @property
    def densities(self) -> list[Tensor]:
        """Parameters of the densities, whose learning rate has no schedule."""
        groups = self.optimizer.param_groups
        return [
            p for group in groups if not group["scheduled"] for p in group["params"]
        ]

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch; an incomplete last one is left out."""
        return max(1, len(self.splits.train) // self.images_per_step)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        planned = self.steps_per_epoch * self.config.train.epochs
        return min(planned, self.config.train.max_steps or planned)

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to, from 0."""
        return self.step // self.steps_per_epoch

    @property
    def epochs_begun(self) -> int:
        """Epochs that have begun: the number of the present one, counted from 1."""
        return -(-self.step // self.steps_per_epoch)


def save_session(session: Session, path: Path, seconds: float) -> None:
    """Write the state from which the run goes on to the bit; all processes wait."""
    if session.processes.first:
        _write_session(session, path, seconds)
    session.processes.wait()


def _write_session(session: Session, path: Path, seconds: float) -> None:
    scaler = session.accelerator.scaler
    on_cuda = session.accelerator.device.type == "cuda"
    content = {
        RESUME_MARK: RESUME_VERSION,
        "config": session.config.model_dump(mode="json"),
        "started_in": str(Path.cwd()),
        "model": session.model.state_dict(),
        "form": form_of(session.model, session.architecture),
        "optimizer": session.optimizer.state_dict(),
        "scaler": scaler.state_dict() if scaler is not None else None,
        "random": torch.get_rng_state(),
        "cuda_random": torch.cuda.get_rng_state() if on_cuda else None,
        "processes": session.processes.count,
        "step": session.step,
        "totals": vars(session.totals),
        "seconds": seconds,
        **steering_state(session),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomic(buffer.getvalue(), path)


def read_resume(path: Path) -> dict[str, Any]:
    """Read `resume.pt`; raises FileError for anything else."""
    content = load_torch(path)
    known = isinstance(content, dict) and "config" in content
    if not known or content.get(RESUME_MARK) != RESUME_VERSION:
        raise FileError(f"{str(path)!r} is not a resume.pt of this version of lilnetx")
    return dict(content)


def restore_session(session: Session, content: dict[str, Any]) -> str | None:
    """Put a session back into the state that `save_session` wrote.

    Returns what the user should know where other processes share the run now.
    """
    try:
        session.model.load_state_dict(content["model"])
        session.optimizer.load_state_dict(content["optimizer"])
        if content["scaler"] is not None and session.accelerator.scaler is not None:
            session.accelerator.scaler.load_state_dict(content["scaler"])
        torch.set_rng_state(content["random"])
        if content["cuda_random"] is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(content["cuda_random"])
        session.totals = Totals(**content["totals"])
        session.seconds = float(content["seconds"])
        restore_steering(session, content)
        return _go_to(session, int(content["step"]), int(content["processes"]))
    except (AttributeError, RuntimeError, TypeError, ValueError, LookupError) as error:
        raise InputError(f"the run cannot be resumed: {reason_of(error)}") from error


def _go_to(session: Session, step: int, processes: int) -> str | None:
    """Go to a step that some number of processes had come to.

    With another number the same images of the epoch are done, or a few fewer.
    """
    now = session.processes.count
    session.step = step
    if processes == now:
        return None
    images = session.images_per_step // now * processes  # in a step, until now
    epoch, within = divmod(step, max(1, len(session.splits.train) // images))
    done = min(within * images // session.images_per_step, session.steps_per_epoch - 1)
    session.step = epoch * session.steps_per_epoch + done
    return (
        f"step {step} of {processes} {_noun(processes)} is step {session.step} of"
        f" {session.steps} for {now}: a step now takes {session.images_per_step} images"
        f" instead of {images}, so the run will not be bit-identical"
    )


def _noun(processes: int) -> str:
    return "process" if processes == 1 else "processes"
