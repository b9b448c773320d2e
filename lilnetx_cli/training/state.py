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

from lilnetx_cli.checkpoint.model_pt import load_torch
from lilnetx_cli.config import RunConfig
from lilnetx_cli.data import Batch, EpochSampler, Splits, batches
from lilnetx_cli.errors import FileError, InputError, UsageError
from lilnetx_cli.models import build, describe
from lilnetx_cli.nn import density_parameters, reparameterize
from lilnetx_cli.nn.gating import gate_dead_filters
from lilnetx_cli.nn.latents import latent_groups
from lilnetx_cli.training.initial_weights import spread_of, start_weights
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
        started: what was taken over of a trained network, None from scratch.
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
    sampler: EpochSampler
    loader: Any
    architecture: dict[str, Any]
    started: str | None = None
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


def open_session(config: RunConfig, splits: Splits, *, fresh: bool = True) -> Session:
    """Build network, optimizers and loader, all from the seed of the run.

    One that is not fresh is to be restored: it leaves trained weights where they are.

    Raises UsageError for a device, a precision or a batch that cannot be had.
    """
    settings = config.train
    accelerator = _accelerator(config)
    step = settings.batch_size * settings.accumulate * accelerator.num_processes
    if len(splits.train) < step:
        raise UsageError(
            f"a step takes {step} images, only {len(splits.train)} are there to train"
            " on: lower --batch-size"
        )
    _seed(settings.seed)
    form = {"channels": splits.channels, "classes": splits.classes}
    for key in form.keys() & config.model.args.keys():
        if config.model.args[key] != form[key]:
            raise UsageError(
                f"--model-arg {key}={config.model.args[key]}, but the images of"
                f" {config.data.name!r} make it {form[key]}: leave it out"
            )
    architecture = describe(config.model.name, {**form, **config.model.args})
    architecture["size"] = splits.size
    model = build(architecture["name"], architecture["args"])
    name = architecture["name"]
    started = start_weights(model, config, splits, name) if fresh else None
    if settings.channels_last:
        model = model.to(memory_format=torch.channels_last)
    model = reparameterize(model, spread=spread_of(config)).to(accelerator.device)
    _gate(model, splits, accelerator.device)
    optimizer = _optimizer(config, model)
    sampler = EpochSampler(len(splits.train), settings.seed)
    loader: DataLoader[Batch] = batches(
        splits.train,
        settings.batch_size,
        sampler=sampler,
        workers=config.data.workers,
        drop_last=True,
    )
    forward = torch.compile(model) if settings.compile else model
    forward, optimizer, loader = accelerator.prepare(forward, optimizer, loader)
    # accelerate patches autocast into the network itself; the steps ask for it on their
    # own, and whatever is measured or shipped computes in float32.
    accelerator.unwrap_model(forward, keep_fp32_wrapper=False)
    vars(model).pop("forward", None)
    return Session(
        config, splits, accelerator, model, forward, optimizer, sampler, loader,
        architecture, started,
    )  # fmt: skip


def _gate(model: nn.Module, splits: Splits, device: torch.device) -> None:
    shape = (2, splits.channels, splits.size, splits.size)
    images = torch.zeros(shape, device=device)
    try:
        gate_dead_filters(model, lambda net: net(images))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"the network does not take images {shape[1:]} of the data set: {reason}"
        ) from error


def _optimizer(config: RunConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Return Adam with three groups, which are as separate as three optimizers.

    Adam treats every parameter on its own; the density only has another learning rate
    and no schedule. One optimizer keeps the loss scaling of fp16 in step.
    """
    settings = config.train
    densities = density_parameters(model)
    decoders = [group.decoder for group in latent_groups(model).values()]
    apart = {id(p) for p in [*densities, *decoders]}
    rest = [p for p in model.parameters() if id(p) not in apart]
    groups = [
        {"params": rest, "base_lr": settings.lr, "scheduled": True},
        {"params": decoders, "base_lr": settings.decoder_lr, "scheduled": True},
        {"params": densities, "base_lr": settings.density_lr, "scheduled": False},
    ]
    return torch.optim.Adam(groups, lr=settings.lr)


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
    scaler = session.accelerator.scaler
    on_cuda = session.accelerator.device.type == "cuda"
    content = {
        "lilnetx_resume": RESUME_VERSION,
        "config": session.config.model_dump(mode="json"),
        "model": session.model.state_dict(),
        "optimizer": session.optimizer.state_dict(),
        "scaler": scaler.state_dict() if scaler is not None else None,
        "random": torch.get_rng_state(),
        "cuda_random": torch.cuda.get_rng_state() if on_cuda else None,
        "step": session.step,
        "totals": vars(session.totals),
        "seconds": seconds,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomic(buffer.getvalue(), path)


def read_resume(path: Path) -> dict[str, Any]:
    """Read `resume.pt`; raises FileError for anything else."""
    content = load_torch(path)
    known = isinstance(content, dict) and "config" in content
    if not known or content.get("lilnetx_resume") != RESUME_VERSION:
        raise FileError(f"{str(path)!r} is no resume.pt of this version of lilnetx")
    return dict(content)


def restore_session(session: Session, content: dict[str, Any]) -> None:
    """Put a session back to where `save_session` was called."""
    try:
        session.model.load_state_dict(content["model"])
        session.optimizer.load_state_dict(content["optimizer"])
        if content["scaler"] is not None and session.accelerator.scaler is not None:
            session.accelerator.scaler.load_state_dict(content["scaler"])
        torch.set_rng_state(content["random"])
        if content["cuda_random"] is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(content["cuda_random"])
        session.step = int(content["step"])
        session.totals = Totals(**content["totals"])
        session.seconds = float(content["seconds"])
    except (KeyError, RuntimeError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"the run cannot be resumed: {error}") from error
