"""What a network takes: images of the form that its record or the user says."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lilnetx_cli.errors import UsageError

EXAMPLE_BATCH = 2
# A file is attacker text: no image it asks for may be larger.
MAX_SIDE = 2048
MAX_CHANNELS = 1024


def example_input(
    record: Mapping[str, Any] | None, shape: tuple[int, ...] | None = None
) -> Tensor:
    """Return zeros of the shape that a network takes, a batch of two.

    The shape of one input is the given one, or the images of the architecture record.
    Raises UsageError where neither says it.
    """
    if shape is None:
        shape = _recorded(record or {})
    if shape is None:
        raise UsageError(
            "the file does not say what its network takes: add --input-shape, such as"
            " 3x224x224"
        )
    return torch.zeros(EXAMPLE_BATCH, *shape)


def parse_shape(text: str) -> tuple[int, ...]:
    """Read 3x224x224 as a shape; raises UsageError."""
    try:
        shape = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        shape = ()
    if not shape or not all(0 < size <= 1 << 20 for size in shape):
        raise UsageError(f"{text!r} is no shape: write it as 3x224x224")
    return shape


def _recorded(record: Mapping[str, Any]) -> tuple[int, ...] | None:
    side, arguments = record.get("size"), record.get("args")
    channels = arguments.get("channels", 3) if isinstance(arguments, dict) else 3
    if not isinstance(side, int) or not isinstance(channels, int) or side is True:
        return None
    fits = 0 < side <= MAX_SIDE and 0 < channels <= MAX_CHANNELS
    return (channels, side, side) if fits else None
