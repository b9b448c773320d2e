"""A container as it was read -> the one to save, for one goal, and how close it is."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

import lnx
from lilnetx_cli.calls import Call
from lilnetx_cli.compression.dense import dense_container
from lilnetx_cli.compression.error_search import Judge
from lilnetx_cli.compression.finishing import folded
from lilnetx_cli.compression.goal import Goal, target_of_goal
from lilnetx_cli.compression.kept_latents import needs_no_loss, smaller
from lilnetx_cli.compression.lossy import Lossy, compress_container
from lilnetx_cli.compression.record import Quality
from lilnetx_cli.compression.tries import Progress
from lilnetx_cli.compression.with_inputs import compress_with_inputs


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the outputs of a network are compared on.

    Attributes:
        calls: that the network is run on.
        judge: measures accuracy; None where it is not asked for.
        recalibrate: whether the statistics of batch norms are measured again.
    """

    calls: Sequence[Call]
    judge: Judge | None = None
    recalibrate: bool = True


@dataclass(frozen=True, eq=False)
class Quantized:
    """What to save.

    Attributes:
        container: with quantized weights, or the one that was read.
        quality: how close it is to the dense network.
        exact: names of the weights that are kept exactly, as in `Lossy`.
    """

    container: lnx.Container
    quality: Quality
    exact: tuple[str, ...] = ()


def quantize(
    trained: lnx.Container,
    goal: Goal,
    network: nn.Module | None = None,
    inputs: Calibration | None = None,
    *,
    exact_side: bool = False,
    progress: Progress | None = None,
) -> Quantized:
    """Quantize the weights of a container, which may have latents already.

    Latents are kept where they take no more bytes. `network` holds the tensors of the
    container, in evaluation mode; inputs need it, and without inputs its batch norms
    are folded. Raises the errors of `compress_container` and `compress_with_inputs`.
    """
    dense = dense_container(trained)
    size = target_of_goal(goal, dense).size
    if size is not None and needs_no_loss(trained, size):
        return Quantized(trained, Quality(None, lossless=True))
    if inputs is None or network is None:
        if network is not None and not exact_side:
            dense = folded(dense, network)
        target = target_of_goal(goal, dense)
        found = compress_container(
            dense, target, exact_side=exact_side, progress=progress
        )
        return _smaller(trained, found, Quality(found.snr, found.lossless))
    made = compress_with_inputs(
        dense,
        network,
        inputs.calls,
        target_of_goal(goal, dense, with_inputs=True),
        recalibrate=inputs.recalibrate,
        exact_side=exact_side,
        judge=inputs.judge,
        progress=progress,
    )
    lossy = made.lossy
    quality = Quality(lossy.snr, lossy.lossless, made.output_snr, made.accuracy)
    return _smaller(trained, lossy, quality)


def _smaller(trained: lnx.Container, found: Lossy, quality: Quality) -> Quantized:
    """Return what was found, or the container itself where that takes no more."""
    container, quality = smaller(trained, found.container, quality)
    kept = quality.lossless and not found.lossless
    return Quantized(container, quality, () if kept else found.exact)
