"""A container as it was read -> the one to save, with warnings and a live line."""

from typing import TYPE_CHECKING

import lnx
from lilnetx_cli.cli.asked import Asked
from lilnetx_cli.cli.console import Output
from lilnetx_cli.cli.graph_asked import CalibAsked, GraphAsked
from lilnetx_cli.cli.graph_of import network_of, with_network
from lilnetx_cli.errors import UsageError
from lnx.errors import printable

if TYPE_CHECKING:
    from lilnetx_cli.compression.quantize import Quantized

LEAST_SNR = 3.0  # dB; half of the energy of the weights is lost
LEAST_OUTPUT_SNR = 8.0  # dB; below it most classifiers have lost points of accuracy


def quantized(
    container: lnx.Container,
    name: str,
    asked: Asked,
    graph: GraphAsked | None,
    calib: CalibAsked | None,
    out: Output,
) -> "Quantized":
    """Quantize a container as it was asked for, or leave it exact.

    `name` is that of the input. Raises UsageError and InputError.
    """
    if calib is not None:
        return _with_inputs(container, name, asked, graph, calib, out)
    from lilnetx_cli.compression import Quality, has_latents
    from lilnetx_cli.compression.quantize import Quantized, quantize

    container = with_network(container, graph)
    network = None if graph is None else network_of(container, name, graph)
    if asked.lossless or (asked.nothing and has_latents(container)):
        return Quantized(container, Quality(None, lossless=True))
    with out.progress("quantizing, tries") as ticker:
        found = quantize(
            container,
            asked.goal,
            network,
            exact_side=asked.exact_side,
            progress=ticker.move,
        )
    _warn_of_exact(found, name, out)
    if found.quality.snr is not None and found.quality.snr < LEAST_SNR:
        out.warn(
            f"{name}: the weights are badly distorted ({found.quality.snr:.1f} dB):"
            " allow a larger file, or give inputs with --calib"
        )
    return found


def _with_inputs(
    container: lnx.Container,
    name: str,
    asked: Asked,
    graph: GraphAsked | None,
    calib: CalibAsked,
    out: Output,
) -> "Quantized":
    from lilnetx_cli.compression.held_out import HeldOut
    from lilnetx_cli.compression.quantize import Calibration, quantize

    if graph is None and container.architecture is None:
        raise UsageError(f"{name!r} does not say which network it holds: add --model")
    data = calib.data
    if data.splits is not None and data.splits.note:
        out.note(data.splits.note)
    if asked.drop is not None and data.labelled is None:
        raise UsageError(
            f"--max-accuracy-drop needs labels, which {calib.name} does not give"
        )
    container = with_network(container, graph, data, calib.name)
    judged = asked.drop is not None and data.labelled is not None
    judge = HeldOut(data.labelled) if judged and data.labelled else None
    with out.progress("rounding, rounds") as ticker:
        found = quantize(
            container,
            asked.goal,
            network_of(container, name, graph),
            Calibration(data.calls, judge, calib.recalibrate),
            exact_side=asked.exact_side,
            progress=ticker.move,
        )
    _warn_of_exact(found, name, out)
    snr = found.quality.output_snr
    if snr is not None and snr < LEAST_OUTPUT_SNR:
        out.warn(
            f"{name}: the outputs are badly distorted ({snr:.1f} dB): allow a larger"
            " file"
        )
    return found


def _warn_of_exact(found: "Quantized", name: str, out: Output) -> None:
    for tensor in found.exact:
        out.warn(
            f"{name}: {printable(tensor)} is stored exactly: it holds NaN, infinity, or"
            " numbers too large or too small to quantize"
        )
