"""Search for a file: of an SNR, of bits per weight, of a size."""

from lilnetx_cli.compression.dense import parameters
from lilnetx_cli.compression.goal import Goal
from lilnetx_cli.compression.kept_latents import has_latents
from lilnetx_cli.compression.lossy import compress_container
from lilnetx_cli.compression.record import Quality, bases_of, record_of
from lilnetx_cli.compression.targets import DEFAULT_SNR, Target

__all__ = [
    "DEFAULT_SNR",
    "Goal",
    "Quality",
    "Target",
    "bases_of",
    "compress_container",
    "has_latents",
    "parameters",
    "record_of",
]
