"""A network in memory -> a file of an SNR, of its weights or of its outputs."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

import lnx
from lilnetx_cli.calls import Call
from lilnetx_cli.checkpoint import capture, pack
from lilnetx_cli.compression.finishing import folded
from lilnetx_cli.compression.lossy import compress_container
from lilnetx_cli.compression.targets import Target
from lilnetx_cli.compression.tries import Progress
from lilnetx_cli.compression.with_inputs import compress_with_inputs


def save_to_snr(
    network: nn.Module,
    record: Mapping[str, Any],
    snr: float,
    path: Path,
    progress: Progress | None = None,
) -> int:
    """Write a plain network whose weights keep an SNR, in dB; return the bytes.

    `record` is that of its architecture. Raises UsageError for too fine an SNR.
    """
    container = pack(capture(network, architecture=record))
    container = folded(container, copy.deepcopy(network).eval())
    found = compress_container(container, Target(snr=snr), progress=progress)
    return lnx.save(found.container, path)


def save_to_output_snr(
    network: nn.Module,
    record: Mapping[str, Any],
    calls: Sequence[Call],
    snr: float,
    path: Path,
    progress: Progress | None = None,
) -> int:
    """Write a plain network whose outputs on some inputs keep an SNR, see above."""
    made = compress_with_inputs(
        pack(capture(network, architecture=record)),
        copy.deepcopy(network).eval(),
        calls,
        Target(output_snr=snr),
        progress=progress,
    )
    return lnx.save(made.lossy.container, path)
