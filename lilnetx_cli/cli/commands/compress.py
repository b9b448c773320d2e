"""`lilnetx compress`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import lnx
from lilnetx_cli.cli.console import Output, size_text
from lilnetx_cli.cli.contents import parts_of, parts_text
from lilnetx_cli.cli.options import (
    Force,
    Jobs,
    Json,
    Quiet,
    Stopwatch,
    Verbose,
    check_input,
    check_output,
    make_output,
    parse_size,
    peak_rss_bytes,
    processes,
)
from lilnetx_cli.errors import UsageError
from lnx.errors import printable

if TYPE_CHECKING:
    from lilnetx_cli.compression import Target


def compress(
    file: Annotated[
        Path,
        typer.Argument(help="A run's model.pt, or any .pt, .pth or .safetensors file."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write.",
            show_default="the input's name, ending in .lnx",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="Entry of a nested checkpoint, such as ema.net.",
            show_default="state_dict, model and other usual ones",
        ),
    ] = None,
    unsafe_pickle: Annotated[
        bool,
        typer.Option(
            "--unsafe-pickle", help="Let the checkpoint run its own code as it loads."
        ),
    ] = False,
    snr: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=120,
            help="Quantize weights to this signal-to-noise ratio, in dB.",
            show_default="40, but lossless for a network of lilnetx train",
        ),
    ] = None,
    bits_per_weight: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=32,
            help="Quantize to a file of this many bits a weight, everything counted.",
            show_default="none",
        ),
    ] = None,
    target_size: Annotated[
        str | None,
        typer.Option(
            help="Quantize to a file of at most this size, such as 500kB.",
            show_default="none",
        ),
    ] = None,
    target_ratio: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Quantize to a file this many times smaller than the dense network.",
            show_default="none",
        ),
    ] = None,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Keep every bit of every tensor.")
    ] = False,
    exact_side: Annotated[
        bool,
        typer.Option("--exact-side", help="Keep every bit of norms and biases."),
    ] = False,
    force: Force = False,
    jobs: Jobs = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compress a network into a .lnx file.

    A checkpoint of lilnetx train is coded as it was trained, without loss. Weights of
    any other checkpoint are quantized, to 40 dB unless something else is asked for,
    which is as close as rounding to 8 bits; --lossless keeps every bit.
    """
    watch = Stopwatch()
    check_input(file)
    target = output or file.with_suffix(".lnx")
    check_output(target, force=force, source=file)
    out = make_output(json, quiet, verbose)
    asked = _asked(snr, bits_per_weight, target_size, target_ratio, lossless=lossless)
    container = _read(file, key, unsafe_pickle, out)
    container, quality, lossless = _quantized(container, asked, exact_side, out)
    latents = sum(isinstance(tensor, lnx.Latent) for tensor in container.tensors)
    out.detail(f"read {file}: {len(container.tensors)} tensors, {latents} as latents")
    written = lnx.save(container, target, jobs=processes(jobs), replace=force)
    out.detail(f"wrote {target}, with up to {processes(jobs)} processes")
    about = lnx.summary(target)
    parts = parts_of(about)
    record = {
        "input_bytes": file.stat().st_size,
        "dense_bytes": about.decoded_bytes,
        "output_bytes": written,
        "payload_bytes": parts.payload,
        "exact_weight_bytes": parts.exact_weights,
        "side_bytes": parts.side,
        "overhead_bytes": parts.overhead,
        "parameters": about.parameters,
        "bits_per_weight": 8 * written / max(1, about.parameters),
        "snr_db": quality,
        "seconds": watch.seconds,
        "peak_rss_bytes": peak_rss_bytes(),
        "output": str(target),
    }
    ratio = about.decoded_bytes / written
    out.result(
        record,
        f"{target}: {size_text(about.decoded_bytes)} dense -> {size_text(written)}"
        f" whole file, {ratio:.1f}x smaller",
        f"  {parts_text(parts)}",
        _quality_text(quality, lossless=lossless),
        *_next(file, about, lossless=lossless),
    )


@dataclass(frozen=True)
class _Asked:
    """What the user asked of the file; the parts that a size needs are known later."""

    snr: float | None
    bits: float | None
    size: int | None
    ratio: float | None
    lossless: bool

    @property
    def nothing(self) -> bool:
        """Whether the choice is left to the verb."""
        return not self.lossless and self.lossy is None

    @property
    def lossy(self) -> float | None:
        """What is asked for, if quantization is."""
        return next(
            (x for x in (self.snr, self.bits, self.size, self.ratio) if x is not None),
            None,
        )


def _asked(
    snr: float | None,
    bits: float | None,
    size: str | None,
    ratio: float | None,
    *,
    lossless: bool,
) -> _Asked:
    """Return what is asked for; raises UsageError for more than one thing."""
    given = {
        "--snr": snr, "--bits-per-weight": bits, "--target-size": size,
        "--target-ratio": ratio, "--lossless": lossless or None,
    }  # fmt: skip
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise UsageError(f"{names[0]} and {names[1]} are contrary: give one of them")
    return _Asked(
        snr, bits, None if size is None else parse_size(size), ratio, lossless
    )


def _quantized(
    container: lnx.Container, asked: _Asked, exact_side: bool, out: Output
) -> tuple[lnx.Container, float | None, bool]:
    """Return the container to save, its SNR in dB, and whether nothing is lost."""
    has_latents = any(isinstance(t, lnx.Latent) for t in container.tensors)
    if asked.lossless or (asked.nothing and has_latents):
        return container, None, True
    from lilnetx_cli.compression import DEFAULT_SNR, compress_container, dense_container

    container = dense_container(container)
    target = _target(asked, container)
    with out.progress("quantizing") as ticker:
        found = compress_container(
            container, target, exact_side=exact_side, progress=ticker.move
        )
    for name in found.exact:
        out.warn(
            f"{printable(name)} holds NaN, infinity or huge numbers: stored exactly"
        )
    if asked.nothing and not found.lossless:
        out.note(
            f"weights are quantized to {DEFAULT_SNR:g} dB, as close as 8 bits:"
            " --lossless keeps every bit, --snr 30 or --target-size makes less"
        )
    return found.container, found.snr, found.lossless


def _target(asked: _Asked, container: lnx.Container) -> "Target":
    from lilnetx_cli.compression import DEFAULT_SNR, Target, dense_bytes, parameters

    size = asked.size
    if asked.bits is not None:
        size = int(asked.bits * parameters(container) / 8)
    if asked.ratio is not None:
        size = int(dense_bytes(container) / asked.ratio)
    if size is not None:
        return Target(size=size)
    return Target(snr=DEFAULT_SNR if asked.snr is None else asked.snr)


def _quality_text(snr: float | None, *, lossless: bool) -> str:
    if lossless:
        return "  lossless: every bit is kept"
    if snr is None:
        return "  quantized: the weights came out exact, norms and biases are rounded"
    return f"  quantized: signal-to-noise ratio of the weights {snr:.1f} dB"


def _next(file: Path, about: lnx.Summary, *, lossless: bool) -> list[str]:
    """Say of weights that were not trained here how they become far smaller."""
    if lossless and any(tensor.kind == "latent" for tensor in about.tensors):
        return []
    return [f"for a far smaller file train it here: lilnetx train --init {file}"]


def _read(
    file: Path, key: str | None, unsafe_pickle: bool, out: Output
) -> lnx.Container:
    if lnx.is_lnx(file):
        return lnx.load(file)
    from lilnetx_cli.checkpoint import pack, read_source

    source = read_source(file, key=key, unsafe_pickle=unsafe_pickle)
    for note in source.notes:
        out.warn(f"{file}: {note}")
    return pack(source.checkpoint)
