"""The end of a run: the network that ships, and its training record."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

import lnx
from lilnetx_cli.checkpoint import Checkpoint, pack
from lilnetx_cli.checkpoint.model_pt import take_latents
from lilnetx_cli.data import EpochDataset, batches
from lilnetx_cli.measure import measure_accuracy
from lilnetx_cli.measure.accuracy import plain_tensor
from lilnetx_cli.nn.batch_norm import calibrate_batch_norms, fold_batch_norms
from lilnetx_cli.nn.materialize import decode_in_place
from lilnetx_cli.nn.side_rounding import with_short_decoders
from lilnetx_cli.quantization.side import round_side_to_steps, round_side_unprobed
from lilnetx_cli.training.fit_size import fit_size
from lilnetx_cli.training.state import Session

CALIBRATION_BATCH = 256
CALIBRATION_SEED = 0
PROBE_IMAGES = 256
ACCURACY_BYTES = 8  # by which digits of other accuracies may pack worse
SIDE_TOLERANCE = 0.025


@dataclass(frozen=True)
class Finished:
    """The network that ships, and a hash of its classes on the test images."""

    checkpoint: Checkpoint
    predictions: str


def finish(session: Session) -> Finished:
    """Finalize the network of a run, measure it on validation and test images.

    A plain network ships as it is.
    """
    if session.config.train.plain:
        return _measured(*_plain(session.model), session)
    probe = probe_images(session)

    def shipped(model: nn.Module) -> tuple[int, tuple[nn.Module, Checkpoint]]:
        model = with_short_decoders(model)
        _calibrate(model, session)
        network, checkpoint = finalize(model, probe)
        return _exact_bytes(checkpoint, session), (network, checkpoint)

    def estimated(model: nn.Module) -> int:
        return estimate_file(model, session)

    if session.controller is None:
        _, ready = shipped(session.model)
    else:
        target = session.controller.target
        _, ready = fit_size(session.model, target, estimated, shipped)
    return _measured(*ready, session)


def _plain(model: nn.Module) -> tuple[nn.Module, Checkpoint]:
    """Return a network without latents, on the CPU, and its tensors in C order."""
    network = model.cpu().eval()
    state = network.state_dict()
    return network, Checkpoint({name: t.contiguous() for name, t in state.items()})


def _measured(network: nn.Module, checkpoint: Checkpoint, session: Session) -> Finished:
    workers = session.config.data.workers
    validation = measure_accuracy(network, session.splits.validation, workers=workers)
    test = measure_accuracy(network, session.splits.test, workers=workers)
    record = _training_record(session, test.accuracy, validation.accuracy)
    return Finished(
        replace(checkpoint, architecture=session.architecture, training=record),
        test.predictions,
    )


def _calibrate(model: nn.Module, session: Session) -> None:
    settings = session.config.train
    session.splits.train.begin_epoch(settings.seed, settings.epochs)
    count = settings.calibration_images
    images = _images(session.splits.train, count, session.accelerator.device)
    calibrate_batch_norms(model, images)


def finalize(
    model: nn.Module, probe: Tensor | None, tolerance: float = SIDE_TOLERANCE
) -> tuple[nn.Module, Checkpoint]:
    """Return the plain network that ships, on the CPU, and its checkpoint.

    Batch norms are folded, norms and biases rounded as far as the outputs on the probe
    images allow, decoders rounded to float16, weights decoded in the fixed order.
    Without probe images norms and biases are rounded by their own size alone.
    """
    short = with_short_decoders(model)
    latents, decoders = take_latents(short)
    network = decode_in_place(short).cpu().eval()
    fold_batch_norms(network)
    if probe is None:
        round_side_unprobed(network)
    else:
        round_side_to_steps(network, probe, plain_tensor, tolerance)
    return network, Checkpoint(network.state_dict(), latents, decoders)


def estimate_file(model: nn.Module, session: Session) -> int:
    """Return how many bytes the file of a network would have now, without coding it."""
    return lnx.estimate(_container(finalize(model, None)[1], session)).file


def _exact_bytes(checkpoint: Checkpoint, session: Session) -> int:
    """Return how many bytes a file has, and those that its accuracies may add."""
    return len(lnx.dumps(_container(checkpoint, session))) + ACCURACY_BYTES


def _container(checkpoint: Checkpoint, session: Session) -> lnx.Container:
    """Return what the file holds; accuracies, not known yet, have all their digits."""
    record = _training_record(session, 1 / 3, 1 / 3)
    architecture = session.architecture
    return pack(replace(checkpoint, architecture=architecture, training=record))


def probe_images(session: Session) -> Tensor:
    """Return the images on which outputs before and after rounding are compared."""
    return torch.cat(list(_images(session.splits.calibration, PROBE_IMAGES, "cpu")))


def _training_record(
    session: Session, accuracy: float, validation: float
) -> dict[str, Any]:
    settings = session.config.train
    return {
        "accuracy": round(accuracy, 6),
        "dataset": session.config.data.name,
        "epochs": session.epochs_begun,
        "seed": settings.seed,
        "validation_accuracy": round(validation, 6),
    }


def _images(
    dataset: EpochDataset, count: int, device: torch.device | str
) -> Iterator[Tensor]:
    """Yield some images of a data set in batches, the same ones at every call."""
    generator = torch.Generator().manual_seed(CALIBRATION_SEED)
    order = torch.randperm(len(dataset), generator=generator)[:count].tolist()
    for images, _ in batches(dataset, CALIBRATION_BATCH, sampler=order):
        yield images.to(device)
