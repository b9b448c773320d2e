"""What is asked for in relation to a network, and what that makes of a file."""

from dataclasses import dataclass

import lnx
from lilnetx_cli.compression.dense import dense_bytes, parameters
from lilnetx_cli.compression.targets import (
    DEFAULT_OUTPUT_SNR,
    DEFAULT_SNR,
    Target,
)


@dataclass(frozen=True)
class Goal:
    """One thing that a file is to have, or nothing.

    Attributes:
        snr: of the weights, in dB.
        bits: of the whole file, for each weight.
        size: of the whole file, in bytes.
        ratio: how many times smaller than the dense network the file is to be.
        drop: largest loss of accuracy, as a fraction.
    """

    snr: float | None = None
    bits: float | None = None
    size: int | None = None
    ratio: float | None = None
    drop: float | None = None


def target_of_goal(
    goal: Goal, container: lnx.Container, *, with_inputs: bool = False
) -> Target:
    """Return what to search for in a container of exact tensors."""
    size = goal.size
    if goal.bits is not None:
        size = int(goal.bits * parameters(container) / 8)
    if goal.ratio is not None:
        size = int(dense_bytes(container) / goal.ratio)
    if size is not None:
        return Target(size=size)
    if goal.drop is not None:
        return Target(drop=goal.drop)
    if goal.snr is None and with_inputs:
        return Target(output_snr=DEFAULT_OUTPUT_SNR)
    return Target(snr=DEFAULT_SNR if goal.snr is None else goal.snr)
