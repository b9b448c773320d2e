"""The sizes of a sweep, and how they are called."""

from collections.abc import Mapping
from typing import Any

from lilnetx_cli.config import RunConfig
from lilnetx_cli.errors import UsageError
from lilnetx_cli.models import build
from lilnetx_cli.training.set_up import wanted_size

USUAL_RATIO = 40  # of the plain network to the largest file
DIGITS = 3  # of a size in a name


def sizes_of(config: RunConfig, record: Mapping[str, Any], count: int) -> list[int]:
    """Return sizes in bytes, each half of the one before; `record` is the network's.

    Raises UsageError where nothing is left of the last.
    """
    tensors = build(record["name"], record["args"]).state_dict().values()
    dense = sum(tensor.nbytes for tensor in tensors)
    first = wanted_size(config, lambda: dense) or dense // USUAL_RATIO
    sizes = [first >> halvings for halvings in range(count)]
    if sizes[-1] < 1:
        raise UsageError(
            f"--sweep {count}: {first:,} bytes cannot be halved that often"
        )
    return sizes


def size_name(size: int) -> str:
    """Return bytes in a few digits, as a name of a folder: 20kB, 6.77kB, 1.5MB."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (1000, "kB")):
        shown = float(f"{size / unit:.{DIGITS}g}")
        if shown >= 1:
            return f"{shown:g}{name}"
    return f"{size}B"
