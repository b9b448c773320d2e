"""Write the golden files anew: python tests/format/regenerate.py

Their contents are integers written here, so the bytes must be the same everywhere.
"""

import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "golden"


def integers(rows, columns, step):
    """A fixed pattern of small integers with zero rows, no random numbers."""
    index = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
    symbols = (index * index * step + index) % 7 - 3
    symbols[symbols.sum(axis=1) % 3 == 0] = 0
    return symbols.astype(np.int32)


def golden_containers():
    """Return the golden containers by name."""
    import lnx

    matrix = (np.arange(81, dtype=np.float32).reshape(9, 9) - 40) / 64
    ones = np.arange(24, dtype="<i8").view(np.uint8)
    norm = (np.arange(12, dtype="<f4") / 8).view(np.uint8)
    whole = lnx.Container(
        (
            lnx.Latent("a.weight", (6, 4, 3, 3), integers(24, 9, 3), 0),
            lnx.Latent("b.weight", (7, 5), integers(35, 1, 5), 1),
            lnx.Alias("c.weight", "b.weight"),
            lnx.Exact("n.weight", lnx.DType.F32, (12,), norm),
            lnx.Exact("n.count", lnx.DType.I64, (24,), ones),
            lnx.Exact("n.zero", lnx.DType.F32, (5,), np.zeros(20, np.uint8)),
        ),
        (matrix, np.full((1, 1), 0.125, np.float32)),
        {"name": "golden", "args": {"width": 2}},
        {"accuracy": 0.5},
    )
    return {"empty": lnx.Container(()), "whole": whole}


def values_of(container):
    """Return what a reader must get, as plain integers and names."""
    import lnx

    return {
        tensor.name: {
            "shape": list(container.resolve(tensor.name).shape),
            "bytes": lnx.rebuild(container.resolve(tensor.name), container)
            .tobytes()
            .hex(),
        }
        for tensor in container.tensors
    }


def main():
    """Write every golden file and its values."""
    import lnx

    FOLDER.mkdir(exist_ok=True)
    for name, container in golden_containers().items():
        (FOLDER / f"{name}.lnx").write_bytes(lnx.dumps(container))
        text = json.dumps(values_of(container), indent=1) + "\n"
        (FOLDER / f"{name}.json").write_text(text, "utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "formats"))
    main()
