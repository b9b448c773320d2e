"""Build what a run needs: network, optimizer, loader, all from one seed."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lilnetx_cli.config import RunConfig
from lilnetx_cli.config.sections import TargetConfig
from lilnetx_cli.data import Batch, EpochSampler, Splits, batches
from lilnetx_cli.errors import InputError, UsageError, refusing
from lilnetx_cli.graph.coupling import coupled_channels
from lilnetx_cli.models import build, describe
from lilnetx_cli.nn import materialize
from lilnetx_cli.nn.channel_prior import Channels
from lilnetx_cli.nn.gating import gate_dead_filters
from lilnetx_cli.nn.latents import latent_weights
from lilnetx_cli.training.averaging import average_of
from lilnetx_cli.training.devices import open_accelerator, share_norms, wrap
from lilnetx_cli.training.groups import kinds_of
from lilnetx_cli.training.initial_weights import initialize, trained_weights
from lilnetx_cli.training.loop_channels import macs_controller
from lilnetx_cli.training.macs_control import MacsController
from lilnetx_cli.training.size_control import SizeController
from lilnetx_cli.training.smaller import cut_to_resumed, cut_to_trained
from lilnetx_cli.training.state import Session
from lilnetx_cli.training.teacher import teacher_of

SLOWER = 3  # norms, from drawn weights


def open_session(
    config: RunConfig,
    splits: Splits,
    *,
    fresh: bool = True,
    form: dict[str, Any] | None = None,
) -> Session:
    """Build network, optimizer and loader, all from the seed of the run.

    A session that is not fresh will be restored, so it reads no trained weights; `form`
    is then what the state says of a pruned network. A run that starts from a pruned
    network trains that.
    Raises UsageError for a device, a precision, a batch or a network that is not there,
    and the errors of reading trained weights.
    """
    settings = config.train
    accelerator = open_accelerator(settings)
    _check_classes(config, splits)
    _check_batch(config, splits, accelerator.num_processes)
    _seed(settings.seed)
    architecture = architecture_of(config, splits)
    model = build(architecture["name"], architecture["args"])
    trained = trained_weights(config, architecture["name"]) if fresh else None
    if trained is not None:
        file = str(config.model.init)
        architecture = cut_to_trained(model, architecture, trained, file)
    architecture = cut_to_resumed(model, architecture, form)
    model = model.to(memory_format=_layout(config))
    macs = _macs_controller(config.target)
    channels = _channels(config, model, splits, macs)
    beginning = initialize(model, config, splits, trained)
    growth = beginning.growth
    controller = _controller(config, model, 0.0 if growth is None else growth.share)
    model = model.to(accelerator.device)
    share_norms(model, accelerator)
    if not settings.plain:
        _gate(model, splits, accelerator.device)
    sampler = EpochSampler(len(splits.train), settings.seed, accelerator.process_index)
    loader: DataLoader[Batch] = batches(
        splits.train,
        settings.batch_size,
        sampler=sampler,
        workers=config.data.workers,
        worker_seeds=sampler.worker_seeds,
        drop_last=True,
    )
    forward = wrap(model, accelerator, compile_it=settings.compile)
    optimizer, loader = accelerator.prepare(_optimizer(config, model), loader)
    images = _zeros(splits, accelerator.device)
    teacher = teacher_of(config, model, architecture, images)
    if teacher is not None:
        teacher.to(memory_format=_layout(config))
    return Session(
        config, splits, accelerator, model, forward, optimizer, sampler, loader,
        architecture, beginning.spread, beginning.text, growth, controller, teacher,
        channels, macs, average_of(settings.ema),
    )  # fmt: skip


def _channels(
    config: RunConfig, model: nn.Module, splits: Splits, macs: MacsController | None
) -> Channels | None:
    """Return the coupled channels, None where nothing is to press them.

    Raises UsageError for contrary wishes, GraphError for a network without them.
    """
    weight = config.loss.channel_weight
    if macs is not None and weight:
        wish = "latency" if macs.timed else "macs"
        raise UsageError(f"--target-{wish} sets --channel-weight itself: give one")
    if macs is None and not weight:
        return None
    images = torch.zeros(2, splits.channels, splits.size, splits.size)
    return coupled_channels(model, (images,))


def _macs_controller(target: TargetConfig) -> MacsController | None:
    options = "--target-macs", "--target-latency", "--round-channels"
    return macs_controller(target.macs, target.latency, target.round_channels, options)


def _layout(config: RunConfig) -> torch.memory_format:
    last = config.train.channels_last
    return torch.channels_last if last else torch.preserve_format


def _controller(
    config: RunConfig, model: nn.Module, begin: float
) -> SizeController | None:
    def dense_bytes() -> int:
        plain = materialize(model).state_dict().values()
        return sum(tensor.nbytes for tensor in plain)

    size = wanted_size(config, dense_bytes)
    if size is None:
        return None
    weights = sum(latent.numel() for _, _, latent in latent_weights(model))
    return SizeController(size, weights, begin, config.careful)


def wanted_size(config: RunConfig, dense_bytes: Callable[[], int]) -> int | None:
    """Return the bytes that a file is to have, None where nothing is asked for.

    `dense_bytes` gives those of the plain network. Raises UsageError for two wishes.
    """
    size, ratio = config.target.size, config.target.ratio
    if size is not None and ratio is not None:
        raise UsageError(
            "--target-size and --target-ratio cannot be combined: give one"
        )
    return size if ratio is None else int(dense_bytes() / ratio)


def _check_classes(config: RunConfig, splits: Splits) -> None:
    """Raise InputError for a folder of images in which there is nothing to tell."""
    if splits.classes < 2 and config.data.name == "folder":
        raise InputError(
            f"{str(config.data.dir)!r} has one class: expected a folder for each class"
        )


def _check_batch(config: RunConfig, splits: Splits, processes: int) -> None:
    """Raise UsageError where one step takes more images than there are."""
    step = config.train.batch_size * config.train.accumulate * processes
    if len(splits.train) < step:
        option = "--accumulate" if config.train.accumulate > 1 else "--batch-size"
        raise UsageError(
            f"a step takes {step} images, but only {len(splits.train)} are available:"
            f" lower {option}"
        )


def architecture_of(config: RunConfig, splits: Splits) -> dict[str, Any]:
    """Return the record of the network; raises UsageError where images contradict."""
    form = {"channels": splits.channels, "classes": splits.classes}
    for key in form.keys() & config.model.args.keys():
        if config.model.args[key] != form[key]:
            raise UsageError(
                f"--model-arg {key}={config.model.args[key]}, but data set"
                f" {config.data.name!r} needs {form[key]}: leave it out"
            )
    architecture = describe(config.model.name, {**form, **config.model.args})
    return {**architecture, "size": splits.size}


def _gate(model: nn.Module, splits: Splits, device: torch.device) -> None:
    images = _zeros(splits, device)
    form = tuple(images.shape[1:])
    with refusing(f"the network does not take images of shape {form}"):
        gate_dead_filters(model, lambda net: net(images))


def _zeros(splits: Splits, device: torch.device) -> Tensor:
    """Return two images of the data set's form."""
    return torch.zeros(2, splits.channels, splits.size, splits.size, device=device)


def _optimizer(config: RunConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Return Adam with groups that act like optimizers of their own.

    Adam treats every parameter on its own; densities only have another learning rate
    and no schedule. One optimizer keeps the loss scaling of fp16 in step.
    """
    settings = config.train
    own = kinds_of(model)
    latents = [latent for _, _, latent in latent_weights(model)]
    kinds = (
        (latents, settings.lr, True),
        (own.rest, norm_rate(config), True),
        (own.bases, settings.decoder_lr, True),
        (own.densities, settings.density_lr, False),
    )
    groups = [
        {
            "params": parameters,
            "base_lr": rate,
            "scheduled": scheduled,
            "latents": parameters is latents,
        }
        for parameters, rate, scheduled in kinds
        if parameters
    ]
    return torch.optim.Adam(groups, lr=settings.lr)


def norm_rate(config: RunConfig) -> float:
    """Return the learning rate of norms, and of whatever has no latents.

    Slow ones end more accurate at a size, from drawn weights. Where the network starts
    trained, or loses channels, norms have to follow, and slow ones end less accurate.
    """
    settings = config.train
    if settings.norm_lr is not None and not settings.plain:
        return settings.norm_lr
    follow = settings.plain or config.careful
    return settings.lr if follow else settings.lr / SLOWER


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
