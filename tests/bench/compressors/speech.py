"""The trained weights inside two PyPI packages, as plain state dicts.

    pip download --no-deps resemblyzer silero-vad
    python -m tests.bench.compressors.speech Resemblyzer-*.whl silero_vad-*.whl

writes resemblyzer.pt (an LSTM, 1.4 M weights) and silero.pt (convolutions and an LSTM,
0.3 M).
"""

import io
import sys
import zipfile

import torch
from safetensors.torch import load

PRETRAINED = "resemblyzer/pretrained.pt"
SILERO = "silero_vad/data/silero_vad_16k.safetensors"


def main() -> None:
    """Take the weights out of the wheels."""
    for path in sys.argv[1:]:
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
            if PRETRAINED in names:
                content = torch.load(io.BytesIO(wheel.read(PRETRAINED)))
                torch.save(content["model_state"], "resemblyzer.pt")
            elif SILERO in names:
                torch.save(load(wheel.read(SILERO)), "silero.pt")
            else:
                raise SystemExit(f"{path} is neither of the two packages")


if __name__ == "__main__":
    main()
