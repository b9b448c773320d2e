"""`lilnetx compress`."""

from dataclasses import replace

import typer

from lilnetx_cli.cli.asked import asked_for
from lilnetx_cli.cli.compress_options import (
    BitsPerWeight,
    Calib,
    ExactSide,
    Inputs,
    Key,
    LnxOutput,
    Lossless,
    MaxAccuracyDrop,
    NoRecalibrate,
    Snr,
    TargetRatio,
    TargetSize,
    UnsafePickle,
)
from lilnetx_cli.cli.compress_paths import jobs_of
from lilnetx_cli.cli.compressed_text import (
    default_note,
    hints_of,
    lines_of,
    record_of,
)
from lilnetx_cli.cli.compressing import Settings, compress_file
from lilnetx_cli.cli.graph_asked import calib_asked, graph_asked
from lilnetx_cli.cli.options import (
    DataDir,
    Force,
    InputShape,
    Jobs,
    Json,
    Model,
    ModelArg,
    Quiet,
    Stopwatch,
    Verbose,
    make_output,
    processes,
)
from lilnetx_cli.cli.several import compress_all
from lilnetx_cli.cli.standard_streams import STANDARD, check_standard_output


def compress(
    files: Inputs,
    output: LnxOutput = None,
    key: Key = None,
    unsafe_pickle: UnsafePickle = False,
    snr: Snr = None,
    bits_per_weight: BitsPerWeight = None,
    target_size: TargetSize = None,
    target_ratio: TargetRatio = None,
    lossless: Lossless = False,
    max_accuracy_drop: MaxAccuracyDrop = None,
    exact_side: ExactSide = False,
    calib: Calib = None,
    data_dir: DataDir = None,
    no_recalibrate: NoRecalibrate = False,
    model: Model = None,
    model_arg: ModelArg = None,
    input_shape: InputShape = None,
    force: Force = False,
    jobs: Jobs = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compress a network into a .lnx file, or several into one each.

    A network that lilnetx train made small is coded without loss. Weights of
    any other checkpoint are quantized, by default to 40 dB, which is as close as
    rounding to 8 bits; --lossless keeps every bit.

    With --calib, files are far smaller: layers are rounded one by one to keep their
    outputs on real inputs, and batch norms are recalibrated.
    """
    watch = Stopwatch()
    work = jobs_of(files, output, force=force)
    out = make_output(json, quiet, verbose)
    if work[0].target == STANDARD:
        check_standard_output(as_json=json)
        out = replace(out, stdout_taken=True)
    asked = asked_for(
        snr,
        bits_per_weight,
        target_size,
        target_ratio,
        max_accuracy_drop,
        lossless=lossless,
        exact_side=exact_side,
    )
    settings = Settings(
        key,
        unsafe_pickle,
        asked,
        processes(jobs),
        force,
        graph_asked(model, model_arg, input_shape),
        calib_asked(calib, data_dir, asked, recalibrate=not no_recalibrate),
    )
    if len(work) > 1:
        raise typer.Exit(compress_all(work, settings, out))
    done = compress_file(work[0], settings, out)
    if done.by_default:
        out.note(default_note())
    out.result(
        record_of(done, watch.seconds),
        *lines_of(done),
        *([] if quiet else hints_of(done)),
    )
