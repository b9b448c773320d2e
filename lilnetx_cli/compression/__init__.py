"""Search for a file: of an SNR, of bits per weight, of a size."""

from lilnetx_cli.compression.dense import dense_bytes, dense_container, parameters
from lilnetx_cli.compression.finishing import folded
from lilnetx_cli.compression.goal import Goal, target_of_goal
from lilnetx_cli.compression.kept_latents import has_latents, needs_no_loss, smaller
from lilnetx_cli.compression.lossy import Lossy, compress_container
from lilnetx_cli.compression.record import Quality, bases_of, record_of
from lilnetx_cli.compression.targets import (
    DEFAULT_OUTPUT_SNR,
    DEFAULT_SNR,
    Target,
)

__all__ = [
    "DEFAULT_OUTPUT_SNR",
    "DEFAULT_SNR",
    "Goal",
    "Lossy",
    "Quality",
    "Target",
    "bases_of",
    "compress_container",
    "dense_bytes",
    "dense_container",
    "folded",
    "has_latents",
    "needs_no_loss",
    "parameters",
    "record_of",
    "smaller",
    "target_of_goal",
]
