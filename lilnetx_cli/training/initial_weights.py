"""Where a run starts: trained weights and their latents, or weights that are drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import lnx
from lilnetx_cli.checkpoint import Checkpoint, LatentEntry, read_source, unpack
from lilnetx_cli.checkpoint.model_pt import put_latents
from lilnetx_cli.config import RunConfig
from lilnetx_cli.data import EpochDataset, Splits, batches
from lilnetx_cli.errors import UsageError, refusing
from lilnetx_cli.measure.accuracy import check_scores, plain_tensor
from lilnetx_cli.models.pretrained import pretrained_state, start_from
from lilnetx_cli.nn import Start, reparameterize
from lilnetx_cli.nn.batch_norm import unfold_batch_norms
from lilnetx_cli.nn.equalizing import equalize_weights
from lilnetx_cli.nn.evaluating import evaluating
from lilnetx_cli.training.growing import Growth
from lilnetx_cli.training.loop_checks import left_out

UNFOLDING_IMAGES = 256
UNFOLDING_BATCH = 32
# Fine enough to lose little, and with fewer bits to take away than 16.
FIRST_SPREAD = 4.0
SPREAD = 0.3  # once the steps have grown


@dataclass(frozen=True)
class Beginning:
    """How a run begins.

    Attributes:
        spread: size of the latents, in quantization steps.
        text: what was taken over of a trained network, None from scratch.
        growth: how the quantization steps grow, None where they stay.
    """

    spread: float
    text: str | None
    growth: Growth | None = None


def initialize(
    model: nn.Module, config: RunConfig, splits: Splits, trained: Checkpoint | None
) -> Beginning:
    """Put latents into a fresh network, unless the run is a plain one.

    Latents of a lilnetx checkpoint are taken as they are, with their decoders, so that
    nothing is rounded twice. Other weights start fine, and their steps grow. Weights
    before batch norms start with one size. Layers that are frozen stay as they are.
    Raises InputError for weights that do not fit.
    """
    settings, include, text = config.train, config.model.include, None
    apart = [] if settings.plain else left_out(model, (), include)
    if trained is not None:
        text = start_from(model, trained.state_dict).text()
    images, classes = list(_images(splits.calibration)), splits.classes
    form = tuple(images[0].shape[1:])
    with refusing(f"the network does not take images of shape {form}"):
        if trained is not None:
            unfold_batch_norms(model, images)
        if settings.plain or (trained is not None and trained.latents):
            _outputs(model, images[0], classes)
        else:
            outputs = partial(_outputs, images=images[0], classes=classes)
            equalize_weights(model, outputs, apart)
    if settings.plain:
        return Beginning(SPREAD, text)
    last = settings.spread or SPREAD
    first = settings.first_spread or FIRST_SPREAD
    start: Start = "random" if trained is None else "trained"
    try:
        reparameterize(model, start=start, exclude=apart, include=include, spread=first)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if trained is not None and trained.latents:
        put_latents(model, trained)
        return Beginning(last, text)
    growth = Growth(first, last, settings.growth)
    return Beginning(first, text, growth)


@torch.no_grad()
def _outputs(network: nn.Module, images: Tensor, classes: int) -> Tensor | None:
    """Return the scores for images; raises InputError for anything else."""
    with evaluating(network):
        output = network(images)
    check_scores(output, len(images), classes)
    return plain_tensor(output)


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
    state, record = unpack(lnx.rebuild_all(container)), container.architecture
    return Checkpoint(state, latents, decoders, record)


def _images(dataset: EpochDataset) -> Iterator[Tensor]:
    count = min(UNFOLDING_IMAGES, len(dataset))
    order = torch.arange(count).tolist()
    for images, _ in batches(dataset, UNFOLDING_BATCH, sampler=order):
        yield images
