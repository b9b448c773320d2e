"""The end of a run: the network that ships, measured."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from lilnetx_cli.checkpoint import Checkpoint
from lilnetx_cli.data import EpochDataset
from lilnetx_cli.measure import Accuracy, measure_accuracy
from lilnetx_cli.nn.side_rounding import with_short_decoders
from lilnetx_cli.nn.vanishing import spare_last
from lilnetx_cli.training.finalize import calibrate, finalize, probe_images
from lilnetx_cli.training.fit_size import effects_on_loss, fit_size
from lilnetx_cli.training.reach import check_fits
from lilnetx_cli.training.sizes import estimate_file, exact_bytes, with_record
from lilnetx_cli.training.state import Session
from lilnetx_cli.training.steering import gauge_of

ORDER = torch.contiguous_format


@dataclass(frozen=True)
class Finished:
    """The network that ships.

    Attributes:
        predictions: a hash of its classes on the test images.
        macs_share: of the dense network, once dead channels are cut out; None where no
            channels are pressed, or none can be cut.
        time_share: the same of the time of a batch, None where it was not asked for.
    """

    checkpoint: Checkpoint
    predictions: str
    macs_share: float | None
    time_share: float | None


def finish(session: Session) -> Finished:
    """Finalize the network of a run, measure it on validation and test images.

    A plain network ships as it is.
    """
    if session.config.train.plain:
        return _measured(*_plain(session.model), session)
    spare_last(session.model)
    probe = probe_images(session)

    def shipped(model: nn.Module) -> tuple[int, tuple[nn.Module, Checkpoint]]:
        model = with_short_decoders(model)
        calibrate(model, session)
        network, checkpoint = finalize(model, probe)
        size = _agreed(lambda: exact_bytes(checkpoint, session), session)
        return size, (network, checkpoint)

    def estimated(model: nn.Module) -> int:
        return _agreed(lambda: estimate_file(model, session), session)

    if session.controller is None:
        _, ready = shipped(session.model)
    else:
        target = session.controller.target
        effects = effects_on_loss(session.model, session.optimizer)
        size, ready = fit_size(session.model, target, estimated, shipped, effects)
        check_fits(size, target)
    return _measured(*ready, session)


def _agreed(find: Callable[[], int], session: Session) -> int:
    """Return what the first process finds, so that all search in step."""
    return session.processes.from_first(find) or 0


def _plain(model: nn.Module) -> tuple[nn.Module, Checkpoint]:
    """Return a network without latents, on the CPU, and copies of its tensors."""
    network = model.cpu().eval()
    state = network.state_dict()
    return network, Checkpoint(
        {name: t.clone(memory_format=ORDER) for name, t in state.items()}
    )


def _measured(network: nn.Module, checkpoint: Checkpoint, session: Session) -> Finished:
    def measured(images: EpochDataset) -> Accuracy:
        return measure_accuracy(
            network,
            images,
            workers=session.config.data.workers,
            processes=session.processes,
        )

    validation = measured(session.splits.validation)
    test = measured(session.splits.test)
    known = with_record(checkpoint, session, test.accuracy, validation.accuracy)
    macs = time = None
    if session.channels is not None:
        gauge = gauge_of(session)
        macs = replace(gauge, timed=False).share(network)
        time = gauge.share(network) if gauge.timed else None
    return Finished(known, test.predictions, macs, time)
