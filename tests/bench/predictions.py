"""Do all forms of a file predict the same, on every test image?

    python -m tests.bench.predictions model.lnx --data-dir FOLDER

Dense and pruned in torch, and the pruned .pt2 and .onnx as the command line writes
them: equal predicted classes are counted against those of the dense network.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import lilnetx_cli as lilnetx
import lnx
from lilnetx_cli.data import batches, load_splits
from lilnetx_cli.export.onnx import open_onnx

BATCH = 200


def runners(file: Path, folder: Path) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return the functions that take images, by what computes them."""
    for suffix in ("pt2", "onnx"):
        target = folder / f"pruned.{suffix}"
        command = [sys.executable, "-m", "lilnetx_cli", "decompress", str(file)]
        subprocess.run([*command, "--pruned", "-o", str(target)], check=True)
    onnx = open_onnx(folder / "pruned.onnx")
    return {
        "dense": lilnetx.load_model(file),
        "pruned": lilnetx.load_model(file, pruned=True),
        "pruned .pt2": torch.export.load(folder / "pruned.pt2").module(),
        "pruned .onnx": lambda images: torch.from_numpy(onnx(images.numpy())),
    }


@torch.no_grad()
def main() -> None:
    """Compare all forms of one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    training = lnx.summary(options.file).training or {}
    splits = load_splits(str(training["dataset"]), options.data_dir)
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, list[Tensor]] = {}
        networks = runners(options.file, Path(folder))
        for images, _ in batches(splits.test, BATCH):
            for name, run in networks.items():
                found.setdefault(name, []).append(run(images).argmax(1))
    wanted = torch.cat(found["dense"])
    for name, parts in found.items():
        equal = int((torch.cat(parts) == wanted).sum())
        print(f"{name:13} {equal:,} of {len(wanted):,} predictions equal")


if __name__ == "__main__":
    main()
