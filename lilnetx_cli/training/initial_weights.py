"""Where a run starts: trained weights and their latents, or weights that are drawn."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import lnx
from lilnetx_cli.checkpoint import Checkpoint, LatentEntry, read_source, unpack
from lilnetx_cli.checkpoint.model_pt import put_latents
from lilnetx_cli.config import RunConfig
from lilnetx_cli.data import EpochDataset, Splits, batches
from lilnetx_cli.errors import InputError, reason_of
from lilnetx_cli.models.pretrained import pretrained_state, start_from
from lilnetx_cli.nn import reparameterize
from lilnetx_cli.nn.batch_norm import unfold_batch_norms

UNFOLDING_IMAGES = 256
UNFOLDING_BATCH = 32
# Coarser than for a network that is not trained on: the steps repair what rounding to
# quarters of the deviation does, and fewer bits are left to take away.
TRAINED_SPREAD = 4.0


def initialize(
    model: nn.Module, config: RunConfig, splits: Splits, trained: Checkpoint | None
) -> str | None:
    """Put latents into a fresh network; return what it took over, None from scratch.

    Latents of a lilnetx checkpoint are taken as they are, with their decoders, so that
    nothing is rounded twice; other trained weights start fine, drawn ones coarse.
    Raises InputError for weights that do not fit.
    """
    spread = config.train.spread
    if trained is None:
        reparameterize(model, start="random", spread=spread)
        return None
    start = start_from(model, trained.state_dict)
    try:
        unfold_batch_norms(model, _images(splits.calibration))
    except (RuntimeError, ValueError, IndexError) as error:
        reason = reason_of(error)
        raise InputError(f"the network does not take the images: {reason}") from error
    reparameterize(model, start="trained", spread=spread or TRAINED_SPREAD)
    put_latents(model, trained)
    return start.text()


def trained_weights(config: RunConfig, name: str) -> Checkpoint | None:
    """Return the trained network that a run starts from, None from scratch.

    Raises UsageError, InputError, FileError and OSError where it cannot be read.
    """
    if config.model.init is not None:
        return read_trained(config.model.init)
    return Checkpoint(pretrained_state(name)) if config.model.pretrained else None


def read_trained(path: Path) -> Checkpoint:
    """Read a .lnx file or any checkpoint, latents included where it has them."""
    if not lnx.is_lnx(path):
        return read_source(path).checkpoint
    container = lnx.load(path)
    latents = {
        tensor.name: LatentEntry(torch.tensor(tensor.symbols), tensor.decoder)
        for tensor in container.tensors
        if isinstance(tensor, lnx.Latent)
    }
    decoders = tuple(torch.tensor(decoder) for decoder in container.decoders)
    return Checkpoint(unpack(lnx.rebuild_all(container)), latents, decoders)


def _images(dataset: EpochDataset) -> Iterator[Tensor]:
    count = min(UNFOLDING_IMAGES, len(dataset))
    order = torch.arange(count).tolist()
    for images, _ in batches(dataset, UNFOLDING_BATCH, sampler=order):
        yield images
