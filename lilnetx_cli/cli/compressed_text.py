"""What `lilnetx compress` says of a file that it wrote."""

import shlex
from typing import Any

from lilnetx_cli.cli.compressing import Compressed
from lilnetx_cli.cli.console import change_text, percent_text, size_text
from lilnetx_cli.cli.contents import parts_text
from lilnetx_cli.cli.options import peak_rss_bytes
from lilnetx_cli.cli.standard_streams import STANDARD, output_name
from lilnetx_cli.measure.parts import parts_of


def record_of(done: Compressed, seconds: float) -> dict[str, Any]:
    """Return what --json says; sizes are in bytes."""
    from lilnetx_cli.compression import record_of as record

    return {
        "input": str(done.job.source),
        "input_bytes": done.input_bytes,
        **record(done.about, done.output_bytes, done.bases, done.quality),
        "seconds": seconds,
        "peak_rss_bytes": peak_rss_bytes(),
        "output": str(done.job.target),
    }


def lines_of(done: Compressed) -> list[str]:
    """Return what a person reads."""
    dense, written = done.about.decoded_bytes, done.output_bytes
    return [
        f"{output_name(done.job.target)}: {size_text(dense)} dense ->"
        f" {size_text(written)} whole file, {change_text(dense, written)}",
        f"  {parts_text(parts_of(done.about))}",
        _quality_text(done),
        *_bases_text(done),
        *_outputs_text(done),
    ]


def default_note() -> str:
    """Return what to say of a checkpoint that was quantized without being asked to."""
    from lilnetx_cli.compression import DEFAULT_SNR

    return (
        f"weights are quantized to {DEFAULT_SNR:g} dB, about as close as 8 bits:"
        " --lossless keeps every bit, --snr 30 or --target-size makes the file smaller"
    )


def hints_of(done: Compressed) -> list[str]:
    """Return how weights that were not trained here become far smaller."""
    source, tensors = done.job.source, done.about.tensors
    if done.quality.lossless and any(tensor.kind == "latent" for tensor in tensors):
        return []
    if done.about.training is not None:
        return []
    if source == STANDARD or source.is_dir():  # which train does not start from
        return []
    name = (done.about.architecture or {}).get("name")
    network = shlex.quote(name) if isinstance(name, str) else "NAME"
    return [
        "for a far smaller file, train it further: in your own loop with the Compressor"
        f" (README), or, for images, lilnetx train --init {shlex.quote(str(source))}"
        f" --model {network} --dataset DATA"
    ]


def _bases_text(done: Compressed) -> list[str]:
    """Say which bases were chosen, where any is not that of the weights themselves."""
    if done.quality.lossless or set(done.bases) <= {"identity"}:
        return []
    counts = ", ".join(f"{count} {name}" for name, count in done.bases.items())
    return [f"  bases, the smallest for each tensor: {counts}"]


def _outputs_text(done: Compressed) -> list[str]:
    """Say what became of the network's outputs, where that was measured."""
    lines = []
    if done.quality.output_snr is not None:
        lines.append(
            f"  outputs: signal-to-noise ratio {done.quality.output_snr:.1f} dB"
        )
    if done.quality.accuracy is not None:
        before, after = (percent_text(share) for share in done.quality.accuracy)
        lines.append(f"  held-out accuracy: {before} dense, {after} compressed")
    return lines


def _quality_text(done: Compressed) -> str:
    if done.quality.lossless:
        return "  lossless: every bit is kept"
    if done.quality.snr is None:
        return "  quantized: weights unchanged, norms and biases rounded"
    return (
        f"  quantized: signal-to-noise ratio of the weights {done.quality.snr:.1f} dB"
    )
