"""`lilnetx compress`."""

from pathlib import Path
from typing import Annotated

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
    peak_rss_bytes,
    processes,
)


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
    force: Force = False,
    jobs: Jobs = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compress a network into a .lnx file, without any loss.

    A checkpoint of lilnetx train is coded as it was trained. Of any other checkpoint,
    every tensor is stored exactly.
    """
    watch = Stopwatch()
    check_input(file)
    target = output or file.with_suffix(".lnx")
    check_output(target, force=force, source=file)
    out = make_output(json, quiet, verbose)
    container = _read(file, key, unsafe_pickle, out)
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
        "snr_db": None,  # nothing is lost
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
        "  lossless: every bit is kept",
        *_next(file, about),
    )


def _next(file: Path, about: lnx.Summary) -> list[str]:
    """Say of weights without latents how they become far smaller."""
    if any(tensor.kind == "latent" for tensor in about.tensors):
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
