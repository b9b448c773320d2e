"""A container as it was read -> the one to save, and how close it is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import lnx
from lilnetx_cli.cli.asked import Asked, target_of
from lilnetx_cli.cli.console import Output
from lilnetx_cli.cli.graph_asked import CalibAsked, GraphAsked
from lilnetx_cli.cli.graph_of import network_of, with_record
from lilnetx_cli.errors import UsageError
from lnx.errors import printable

if TYPE_CHECKING:
    from torch import nn

    from lilnetx_cli.compression import Lossy, Quality
    from lilnetx_cli.compression.with_inputs import WithInputs
    from lilnetx_cli.data.calibration import CalibrationData

LEAST_SNR = 3.0  # dB; half of the energy of the weights is lost
LEAST_OUTPUT_SNR = 8.0  # dB; below it most classifiers have lost points of accuracy


@dataclass(frozen=True, eq=False)
class Quantized:
    """What to save; see Compressed."""

    container: lnx.Container
    quality: "Quality"


def quantized(
    container: lnx.Container,
    name: str,
    asked: Asked,
    graph: GraphAsked | None,
    calib: CalibAsked | None,
    out: Output,
) -> Quantized:
    """Quantize a container as it was asked for, or leave it exact.

    `name` is that of the input. Raises UsageError and InputError.
    """
    if calib is not None:
        return _with_inputs(container, name, asked, graph, calib, out)
    from lilnetx_cli.compression import Quality, has_latents

    container = with_record(container, graph)
    if asked.lossless or (asked.nothing and has_latents(container)):
        if graph is not None:
            network_of(container, name, graph)
        return Quantized(container, Quality(None, lossless=True))
    from lilnetx_cli.compression import (
        compress_container,
        dense_container,
        folded,
        needs_no_loss,
        smaller,
    )

    trained, container = container, dense_container(container)
    if graph is not None:
        network = network_of(container, name, graph)
        if not asked.exact_side:
            container = folded(container, network)
    target = target_of(asked, container)
    if target.size is not None and needs_no_loss(trained, target.size):
        return Quantized(trained, Quality(None, lossless=True))
    with out.progress("quantizing, tries") as ticker:
        found = compress_container(
            container, target, exact_side=asked.exact_side, progress=ticker.move
        )
    made, quality = smaller(
        trained, found.container, Quality(found.snr, found.lossless)
    )
    _warn_of_exact(found, quality, name, out)
    if quality.snr is not None and quality.snr < LEAST_SNR:
        out.warn(
            f"{name}: the weights are badly distorted ({quality.snr:.1f} dB): allow a"
            " larger file, or give inputs with --calib"
        )
    return Quantized(made, quality)


def _with_inputs(
    container: lnx.Container,
    name: str,
    asked: Asked,
    graph: GraphAsked | None,
    calib: CalibAsked,
    out: Output,
) -> Quantized:
    from lilnetx_cli.compression import Quality, dense_container, needs_no_loss, smaller

    if graph is None and container.architecture is None:
        raise UsageError(f"{name!r} does not say which network it holds: add --model")
    data = calib.data
    if asked.drop is not None and data.labelled is None:
        raise UsageError(
            f"--max-accuracy-drop needs labels, which {calib.name} does not give"
        )
    trained = with_record(container, graph, data, calib.name)
    container = dense_container(trained)
    network = network_of(container, name, graph)
    size = target_of(asked, container, with_inputs=True).size
    if size is not None and needs_no_loss(trained, size):
        return Quantized(trained, Quality(None, lossless=True))
    found = _run(container, network, asked, calib, data, out)
    lossy = found.lossy
    quality = Quality(lossy.snr, lossy.lossless, found.output_snr, found.accuracy)
    made, quality = smaller(trained, lossy.container, quality)
    _warn_of_exact(lossy, quality, name, out)
    if quality.output_snr is not None and quality.output_snr < LEAST_OUTPUT_SNR:
        out.warn(
            f"{name}: the outputs are badly distorted ({quality.output_snr:.1f} dB):"
            " allow a larger file"
        )
    return Quantized(made, quality)


def _run(
    container: lnx.Container,
    network: "nn.Module",
    asked: Asked,
    calib: CalibAsked,
    data: "CalibrationData",
    out: Output,
) -> "WithInputs":
    from lilnetx_cli.compression.held_out import HeldOut
    from lilnetx_cli.compression.with_inputs import compress_with_inputs

    judged = asked.drop is not None and data.labelled is not None
    with out.progress("rounding, rounds") as ticker:
        return compress_with_inputs(
            container,
            network,
            data.batches,
            target_of(asked, container, with_inputs=True),
            recalibrate=calib.recalibrate,
            exact_side=asked.exact_side,
            judge=HeldOut(data.labelled) if judged and data.labelled else None,
            progress=ticker.move,
        )


def _warn_of_exact(found: "Lossy", quality: "Quality", name: str, out: Output) -> None:
    for tensor in () if quality.lossless and not found.lossless else found.exact:
        out.warn(
            f"{name}: {printable(tensor)} holds NaN, infinity or huge numbers:"
            " stored exactly"
        )
