"""Options of `lilnetx compress` alone."""

from pathlib import Path
from typing import Annotated

import typer

Inputs = Annotated[
    list[Path],
    typer.Argument(
        help="A run's model.pt, or any .pt, .pth or .safetensors file; a folder or an"
        " index of shards; - for standard input.",
    ),
]
LnxOutput = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="File to write, - for standard output; a folder for several inputs.",
        show_default="beside the input, ending in .lnx; standard output for -",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        help="Entry of a nested checkpoint, such as ema.net.",
        show_default="state_dict, model and other usual ones",
    ),
]
UnsafePickle = Annotated[
    bool,
    typer.Option(
        "--unsafe-pickle", help="Let the checkpoint run its own code as it loads."
    ),
]
Snr = Annotated[
    float | None,
    typer.Option(
        min=1,
        max=120,
        help="Quantize weights to this signal-to-noise ratio, in dB.",
        show_default="40, but lossless for a network of lilnetx train",
    ),
]
BitsPerWeight = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        max=32,
        help="Quantize to this many bits a weight, counting the whole file.",
        show_default="none",
    ),
]
TargetSize = Annotated[
    str | None,
    typer.Option(
        help="Quantize to a file of at most this size, such as 500kB.",
        show_default="none",
    ),
]
TargetRatio = Annotated[
    float | None,
    typer.Option(
        min=1,
        help="Quantize to a file this many times smaller than the dense network.",
        show_default="none",
    ),
]
Lossless = Annotated[
    bool, typer.Option("--lossless", help="Keep every bit of every tensor.")
]
ExactSide = Annotated[
    bool, typer.Option("--exact-side", help="Keep every bit of norms and biases.")
]
Calib = Annotated[
    str | None,
    typer.Option(
        "--calib",
        help=(
            "Data set, or path/file.py:function that returns a few hundred inputs:"
            " weights are rounded to keep the network's outputs on them. Far smaller"
            " files."
        ),
        show_default="none",
    ),
]
MaxAccuracyDrop = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=100,
        metavar="POINTS",
        help="With --calib, the smallest file that loses at most this much accuracy.",
        show_default="none",
    ),
]
NoRecalibrate = Annotated[
    bool,
    typer.Option(
        "--no-recalibrate", help="With --calib, leave batch norms as they are."
    ),
]
