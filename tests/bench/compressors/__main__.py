"""Compressors of trained networks, side by side: one table, one plot, whole files.

    make rivals             an environment with NNCodec, ZipNN and zstd
    python -m tests.bench.compressors --nncodec .venv-rivals/bin/python \\
        --data-dir FOLDER --csv bench.csv --plot bench.png \\
        resnet20/model.pt=resnet20 vgg16/model.pt=vgg16_bn,percent=25 \\
        mobilenet/model.pt=mobilenet_v2_cifar,percent=25 resemblyzer.pt silero.pt

A network is FILE, a checkpoint, or FILE=MODEL,key=count, which adds accuracies on the
test images of --dataset. SNR is over all float tensors of two or more
dimensions together. "/NNCodec" is the bytes over those of NNCodec at the same SNR, log
bytes interpolated over dB between its runs. NNCodec runs with its defaults (dependent
quantization on); it leaves 0-d tensors out. Every file is made in a process of its own
on one thread: its peak holds the interpreter and, but for zstd, all of torch.

The five networks:

    lilnetx train --plain --dataset fashion-mnist --data-dir FOLDER --epochs 4 \\
        -o resnet20
    lilnetx train --plain --dataset fashion-mnist --data-dir FOLDER --epochs 4 \\
        --model vgg16_bn --model-arg percent=25 -o vgg16
    lilnetx train --plain --dataset fashion-mnist --data-dir FOLDER --epochs 5 \\
        --model mobilenet_v2_cifar --model-arg percent=25 -o mobilenet
    pip download --no-deps resemblyzer silero-vad
    python -m tests.bench.compressors.speech Resemblyzer-*.whl silero_vad-*.whl
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from tests.bench.compressors.networks import Network, open_networks
from tests.bench.compressors.plot import draw
from tests.bench.compressors.running import Row, interpreter_of
from tests.bench.compressors.sweeps import MOST_DROP, bytes_at_drop, rows_of
from tests.bench.compressors.table import HEAD, line_of, write_csv

SNRS = (15.0, 22.0, 32.0, 40.0)  # dB


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="tests.bench.compressors",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("networks", nargs="+", metavar="FILE[=MODEL[,KEY=COUNT]]")
    parser.add_argument("--nncodec", metavar="PYTHON", help="that has the rivals")
    parser.add_argument("--snr", type=float, action="append", help="of ours, in dB")
    parser.add_argument("--qp-step", type=int, default=2, help="between NNCodec runs")
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--cast", choices=("bfloat16", "float16"), help="floats first")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--plot", type=Path)
    return parser.parse_args(arguments)


def report(network: Network, rows: Sequence[Row]) -> None:
    """Print the table of one network, and bytes at equal accuracy."""
    count = sum(tensor.numel() for tensor in network.state.values())
    size = sum(tensor.nbytes for tensor in network.state.values())
    print(f"{network.name}: {count:,} numbers, {size:,} bytes")
    print(HEAD)
    for row in rows:
        print(line_of(row))
    dense = network.accuracy(network.state)
    if dense is not None:
        print(f"accuracy of the network itself {dense:.2%}")
        for method in dict.fromkeys(row.method for row in rows):
            mine = [row for row in rows if row.method == method]
            found = bytes_at_drop(mine, dense - MOST_DROP)
            if found is not None and method != "zstd":
                print(f"{method}: {found:,.0f} bytes at a drop of {MOST_DROP:.1%}")
    print(flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare all compressors on all networks."""
    options = options_of(arguments)
    torch.set_num_threads(1)
    pythons = [sys.executable, *([options.nncodec] if options.nncodec else [])]

    @cache
    def python_of(method: str) -> str | None:
        python = interpreter_of(method, pythons)
        if python is None:
            print(f"{method} is not installed and left out", file=sys.stderr)
        return python

    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for network in open_networks(options, Path(folder)):
            mine = rows_of(network, python_of, options.snr or SNRS, options.qp_step)
            report(network, mine)
            rows += mine
    if options.csv:
        write_csv(rows, options.csv)
    if options.plot:
        draw(rows, options.plot)


if __name__ == "__main__":
    main()
