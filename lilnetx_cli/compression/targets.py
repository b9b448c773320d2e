"""What the user asks of a file."""

from dataclasses import dataclass

DEFAULT_SNR = 40.0  # dB; what rounding to 8 bits per output channel gives


@dataclass(frozen=True)
class Target:
    """One thing that a file is to have; the others are None.

    Attributes:
        snr: over all float tensors of two or more dimensions together, in dB.
        size: of the whole file, in bytes, never above and at most 1 % below.
    """

    snr: float | None = None
    size: int | None = None
