"""The network that ships: norms folded and rounded, weights decoded."""

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor, nn

from lilnetx_cli.calls import Call
from lilnetx_cli.checkpoint import Checkpoint
from lilnetx_cli.checkpoint.model_pt import take_latents
from lilnetx_cli.data import EpochDataset, batches
from lilnetx_cli.nn.batch_norm import (
    batch_statistics,
    fold_batch_norms,
    norms_with,
    set_statistics,
)
from lilnetx_cli.nn.materialize import decode_in_place
from lilnetx_cli.nn.side_rounding import with_short_decoders
from lilnetx_cli.processes import ALONE, Processes
from lilnetx_cli.quantization.side import round_side_to_steps, round_side_unprobed
from lilnetx_cli.training.devices import own_norms
from lilnetx_cli.training.state import Session

CALIBRATION_BATCH = 256
CALIBRATION_SEED = 0
PROBE_IMAGES = 256
SIDE_TOLERANCE = 0.025


def calibrate(model: nn.Module, session: Session) -> None:
    """Measure the statistics of batch norms again, on training images.

    Several processes share the batches, and each comes to what one would alone.
    """
    settings, processes = session.config.train, session.processes
    session.splits.train.begin_epoch(settings.seed, settings.epochs)
    count = settings.calibration_images
    device = session.accelerator.device
    images = _images(session.splits.train, count, device, processes)
    with own_norms(model):
        found = batch_statistics(model, images)
    set_statistics(model, processes.in_turn(found))


def finalize(
    model: nn.Module,
    probe: Sequence[Call] | None,
    tolerance: float = SIDE_TOLERANCE,
    exact: Collection[str] = (),
) -> tuple[nn.Module, Checkpoint]:
    """Return the plain network that ships, on the CPU, and its checkpoint.

    Batch norms are folded, side values rounded as far as the outputs of the probe allow
    (`round_side_to_steps`), decoders rounded to float16, weights decoded in the fixed
    order. Without a probe side values are rounded by their own size alone. Tensors
    named in `exact` stay as they are, and so do batch norms with such a tensor.
    """
    short = with_short_decoders(model)
    latents, decoders = take_latents(short)
    network = decode_in_place(short).cpu().eval()
    fold_batch_norms(network, norms_with(network, set(exact)))
    kept = {*latents, *exact}
    if probe is None:
        round_side_unprobed(network, kept)
    else:
        round_side_to_steps(network, probe, tolerance, kept)
    return network, Checkpoint(network.state_dict(), latents, decoders)


def probe_images(session: Session, count: int = PROBE_IMAGES) -> list[Call]:
    """Return the images on which outputs before and after rounding are compared."""
    return [Call((torch.cat(list(_images(session.splits.calibration, count, "cpu"))),))]


def _images(
    dataset: EpochDataset,
    count: int,
    device: torch.device | str,
    processes: Processes = ALONE,
) -> Iterator[Tensor]:
    """Yield some images of a data set in batches, the same ones at every call.

    Of several processes, each has its share of the batches.
    """
    generator = torch.Generator().manual_seed(CALIBRATION_SEED)
    order = torch.randperm(len(dataset), generator=generator)[:count].tolist()
    own = processes.own_share(order, CALIBRATION_BATCH)
    for images, _ in batches(dataset, CALIBRATION_BATCH, sampler=own):
        yield images.to(device)
