"""Where the weights of a run come from, when not from chance."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import lnx
from lilnetx_cli.checkpoint import read_source, unpack
from lilnetx_cli.config import RunConfig
from lilnetx_cli.data import EpochDataset, Splits, batches
from lilnetx_cli.errors import InputError
from lilnetx_cli.models.pretrained import pretrained_state, start_from
from lilnetx_cli.nn.batch_norm import unfold_batch_norms

UNFOLDING_IMAGES = 256
UNFOLDING_BATCH = 32
SCRATCH_SPREAD = 0.3
TRAINED_SPREAD = 4.0  # rounding to quarters of the deviation keeps a trained function


def start_weights(
    model: nn.Module, config: RunConfig, splits: Splits, name: str
) -> str | None:
    """Give a network its trained weights, if any are asked for; say what was taken.

    Raises UsageError, InputError, FileError and OSError for those that cannot be had.
    """
    if config.model.init is not None:
        state = read_state(config.model.init)
    elif config.model.pretrained:
        state = pretrained_state(name)
    else:
        return None
    start = start_from(model, state)
    try:
        unfold_batch_norms(model, _images(splits.calibration))
    except (RuntimeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the network does not take the images: {reason}") from error
    return start.text()


def spread_of(config: RunConfig) -> float:
    """Return the spread of the first latents: coarse from chance, fine from weights."""
    if config.train.spread is not None:
        return config.train.spread
    trained = config.model.pretrained or config.model.init is not None
    return TRAINED_SPREAD if trained else SCRATCH_SPREAD


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the dense state dict of a .lnx file or a checkpoint."""
    if lnx.is_lnx(path):
        return unpack(lnx.decode(path))
    return dict(read_source(path).checkpoint.state_dict)


def _images(dataset: EpochDataset) -> Iterator[Tensor]:
    count = min(UNFOLDING_IMAGES, len(dataset))
    order = torch.arange(count).tolist()
    for images, _ in batches(dataset, UNFOLDING_BATCH, sampler=order):
        yield images
