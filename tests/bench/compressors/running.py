"""Run one compressor on one network, and measure what comes back."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.bench.compressors.networks import Network

CODER = Path(__file__).with_name("coder.py")
PACKAGES = {"lilnetx": "lilnetx_cli", "zstd": "zstandard"}  # others have their name
ASK = "import importlib.util as u, sys; sys.exit(u.find_spec(sys.argv[1]) is None)"


@dataclass(frozen=True)
class Row:
    """One file of one network.

    Attributes:
        network, method, setting: which.
        snr: in dB, infinite where nothing is lost.
        bytes: of the whole file.
        accuracy: on the test images, None without them.
        encode, decode: seconds.
        peak: bytes, of the process that did both; None where not measured.
        ratio: bytes over NNCodec's at equal SNR, None where it has none.
    """

    network: str
    method: str
    setting: str
    snr: float
    bytes: int
    accuracy: float | None
    encode: float
    decode: float
    peak: int | None
    ratio: float | None = None


def interpreter_of(method: str, pythons: list[str]) -> str | None:
    """Return the first interpreter that has what a method needs, or None."""
    package = PACKAGES.get(method, method)
    for python in pythons:
        done = subprocess.run([python, "-c", ASK, package], capture_output=True)
        if done.returncode == 0:
            return python
    return None


def code(
    network: Network, method: str, setting: str, python: str = sys.executable
) -> Row:
    """Code a network once, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file, decoded = Path(folder, "coded"), Path(folder, "decoded.pt")
        done = subprocess.run(
            [python, CODER, method, setting, network.source, file, decoded],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{method} {setting}, {network.name}: {done.stderr}")
        record = json.loads(done.stdout.splitlines()[-1])
        state = torch.load(decoded)
    # Raw tensors come without names: their size alone is of interest.
    state = state or network.state
    return Row(
        network.name, method, setting, network.snr(state), record["bytes"],
        network.accuracy(state), record["encode"], record["decode"], record["peak"],
    )  # fmt: skip
