"""`lilnetx compress`."""

from pathlib import Path
from typing import Annotated

import typer

from lilnetx_cli.cli.asked import asked_for
from lilnetx_cli.cli.compress_options import (
    BitsPerWeight,
    ExactSide,
    Key,
    LnxOutput,
    Lossless,
    Snr,
    TargetRatio,
    TargetSize,
    UnsafePickle,
)
from lilnetx_cli.cli.compressed_text import lines_of, record_of
from lilnetx_cli.cli.compressing import Settings, compress_file
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
    processes,
)


def compress(
    file: Annotated[
        Path,
        typer.Argument(help="A run's model.pt, or any .pt, .pth or .safetensors file."),
    ],
    output: LnxOutput = None,
    key: Key = None,
    unsafe_pickle: UnsafePickle = False,
    snr: Snr = None,
    bits_per_weight: BitsPerWeight = None,
    target_size: TargetSize = None,
    target_ratio: TargetRatio = None,
    lossless: Lossless = False,
    exact_side: ExactSide = False,
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
    asked = asked_for(
        snr,
        bits_per_weight,
        target_size,
        target_ratio,
        lossless=lossless,
        exact_side=exact_side,
    )
    settings = Settings(key, unsafe_pickle, asked, processes(jobs), force)
    done = compress_file(file, target, settings, out)
    out.result(record_of(done, watch.seconds), *lines_of(done))
