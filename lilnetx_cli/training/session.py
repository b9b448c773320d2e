"""Everything a run holds while it lasts, and how it is kept on disk."""

import io
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from torch.utils.data import DataLoader

from lilnetx_cli.codec.checkpoint import load_torch
from lilnetx_cli.config import RunConfig
from lilnetx_cli.data import Batch, EpochSampler, Splits, batches
from lilnetx_cli.errors import InputError, UsageError
from lilnetx_cli.models import build, describe
from lilnetx_cli.nn import density_parameters, reparameterize
from lilnetx_cli.nn.latents import latent_groups
from lnx import write_atomic

RESUME_VERSION = 1


@dataclass
class Totals:
    """Sums over the epoch so far."""

    steps: int = 0
    examples: int = 0
    hits: int = 0
    loss: float = 0.0
    task: float = 0.0
    bits: float = 0.0


@dataclass
class Session:
    """One run in progress; the only thing here that changes as it goes.

    Attributes:
        model: the reparameterized network.
        forward: the same network as the device runs it (wrapped, compiled).
        architecture: the record from which the network is rebuilt.
        step: optimizer steps done, of `steps`.
        totals: sums over the present epoch.
        seconds: time spent in earlier sessions of this run.
    """

    config: RunConfig
    splits: Splits
    accelerator: Any
    model: nn.Module
    forward: Any
    optimizer: Any
    density_optimizer: Any
    sampler: EpochSampler
    loader: Any
    architecture: dict[str, Any]
    step: int = 0
    totals: Totals = field(default_factory=Totals)
    seconds: float = 0.0

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch; an incomplete last batch is left out."""
        processes: int = self.accelerator.num_processes
        batch = self.config.train.batch_size * processes
        whole = len(self.splits.train) // batch
        return max(1, whole // self.config.train.accumulate)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        planned = self.steps_per_epoch * self.config.train.epochs
        return min(planned, self.config.train.max_steps or planned)

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to, from 0."""
        return self.step // self.steps_per_epoch


def open_session(config: RunConfig, splits: Splits) -> Session:
    """Build network, optimizers and loader, all from the seed of the run.

    Raises UsageError for a device, a precision or a batch that cannot be had.
    """
    settings = config.train
    if len(splits.train) < settings.batch_size * settings.accumulate:
        raise UsageError(
            f"a step takes {settings.batch_size * settings.accumulate} images,"
            f" only {len(splits.train)} are there to train on: lower --batch-size"
        )
    accelerator = _accelerator(config)
    _seed(settings.seed)
    form = {"channels": splits.channels, "classes": splits.classes}
    architecture = describe(config.model.name, {**form, **config.model.args})
    model = build(architecture["name"], architecture["args"])
    if settings.channels_last:
        model = model.to(memory_format=torch.channels_last)
    model = reparameterize(model, spread=settings.spread).to(accelerator.device)
    optimizer, density_optimizer = _optimizers(config, model)
    sampler = EpochSampler(len(splits.train), settings.seed)
    loader: DataLoader[Batch] = batches(
        splits.train,
        settings.batch_size,
        sampler=sampler,
        workers=config.data.workers,
        drop_last=True,
    )
    forward = torch.compile(model) if settings.compile else model
    forward, optimizer, density_optimizer, loader = accelerator.prepare(
        forward, optimizer, density_optimizer, loader
    )
    # accelerate patches autocast into the network itself; the steps ask for it on their
    # own, and whatever is measured or shipped computes in float32.
    accelerator.unwrap_model(forward, keep_fp32_wrapper=False)
    vars(model).pop("forward", None)
    return Session(
        config, splits, accelerator, model, forward, optimizer, density_optimizer,
        sampler, loader, architecture,
    )  # fmt: skip


def _optimizers(
    config: RunConfig, model: nn.Module
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    settings = config.train
    densities = density_parameters(model)
    decoders = [group.decoder for group in latent_groups(model).values()]
    apart = {id(p) for p in [*densities, *decoders]}
    rest = [p for p in model.parameters() if id(p) not in apart]
    groups = [
        {"params": rest, "base_lr": settings.lr},
        {"params": decoders, "base_lr": settings.decoder_lr},
    ]
    optimizer = torch.optim.Adam(groups, lr=settings.lr)
    return optimizer, torch.optim.Adam(densities, lr=settings.density_lr)


def _accelerator(config: RunConfig) -> Any:  # noqa: ANN401
    settings = config.train
    have = {
        "auto": True,
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not have[settings.device]:
        raise UsageError(f"--device {settings.device}: no such device is available")
    on_cpu = settings.device == "cpu" or not (have["cuda"] or have["mps"])
    if settings.precision == "fp16" and on_cpu:
        raise UsageError("--precision fp16 needs a GPU: use bf16 or fp32")
    AcceleratorState._reset_state()  # an earlier run may have set other values
    precision = "no" if settings.precision == "fp32" else settings.precision
    return Accelerator(
        cpu=settings.device == "cpu",
        mixed_precision=precision,
        gradient_accumulation_steps=settings.accumulate,
    )


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def save_session(session: Session, path: Path, seconds: float) -> None:
    """Write the unfolded state, from which the run goes on to the bit."""
    if not session.accelerator.is_main_process:
        return
    content = {
        "lilnetx_resume": RESUME_VERSION,
        "config": session.config.model_dump(mode="json"),
        "model": session.model.state_dict(),
        "optimizer": session.optimizer.state_dict(),
        "density_optimizer": session.density_optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "cuda_random": torch.cuda.get_rng_state_all(),
        "step": session.step,
        "totals": vars(session.totals),
        "seconds": seconds,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomic(buffer.getvalue(), path)


def read_resume(path: Path) -> dict[str, Any]:
    """Read `resume.pt`; raises InputError for anything else."""
    content = load_torch(path)
    if not isinstance(content, dict) or content.get("lilnetx_resume") != RESUME_VERSION:
        raise InputError(f"{str(path)!r} is no resume.pt of this version of lilnetx")
    return content


def restore_session(session: Session, content: dict[str, Any]) -> None:
    """Put a session back to where `save_session` was called."""
    try:
        session.model.load_state_dict(content["model"])
        session.optimizer.load_state_dict(content["optimizer"])
        session.density_optimizer.load_state_dict(content["density_optimizer"])
        torch.set_rng_state(content["random"])
        if content["cuda_random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(content["cuda_random"])
        session.step = int(content["step"])
        session.totals = Totals(**content["totals"])
        session.seconds = float(content["seconds"])
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"the run cannot be resumed: {error}") from error
