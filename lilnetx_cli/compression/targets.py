"""What the user asks of a file."""

from dataclasses import dataclass

DEFAULT_SNR = 40.0  # dB; what rounding to 8 bits per output channel gives
DEFAULT_OUTPUT_SNR = 25.0  # dB, where there are inputs; outputs are off by 6 %


@dataclass(frozen=True)
class Target:
    """One thing that a file is to have; the others are None.

    Attributes:
        snr: over all float tensors of two or more dimensions together, in dB.
        size: of the whole file, in bytes, never above and at most 1 % below.
        output_snr: of the outputs on the inputs at hand, their mean left out, in dB.
        drop: largest loss of accuracy, as a fraction.
    """

    snr: float | None = None
    size: int | None = None
    output_snr: float | None = None
    drop: float | None = None
