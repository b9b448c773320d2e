"""What the user asks of a compressed file, from options to a target."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lilnetx_cli.cli.options import parse_size
from lilnetx_cli.errors import UsageError

if TYPE_CHECKING:
    from lilnetx_cli.compression import Goal


@dataclass(frozen=True)
class Asked:
    """What the user asked of the file; the parts that a size needs are known later.

    Attributes:
        snr: of the weights, in dB.
        bits: of the whole file, for each weight.
        size: of the whole file, in bytes.
        ratio: how many times smaller than the dense network the file is to be.
        drop: largest loss of accuracy, as a fraction.
        lossless: whether every bit is kept.
        exact_side: whether every bit of norms and biases is kept.
    """

    snr: float | None = None
    bits: float | None = None
    size: int | None = None
    ratio: float | None = None
    drop: float | None = None
    lossless: bool = False
    exact_side: bool = False

    @property
    def nothing(self) -> bool:
        """Whether the choice is left to the verb."""
        goals = self.snr, self.bits, self.size, self.ratio, self.drop
        return not self.lossless and goals.count(None) == len(goals)

    @property
    def goal(self) -> "Goal":
        """What a file is searched for, without what this verb alone knows."""
        from lilnetx_cli.compression import Goal

        return Goal(self.snr, self.bits, self.size, self.ratio, self.drop)


def asked_for(
    snr: float | None,
    bits: float | None,
    size: str | None,
    ratio: float | None,
    drop: float | None,
    *,
    lossless: bool,
    exact_side: bool,
) -> Asked:
    """Return what is asked for; raises UsageError for more than one thing."""
    given = {
        "--snr": snr, "--bits-per-weight": bits, "--target-size": size,
        "--target-ratio": ratio, "--max-accuracy-drop": drop,
        "--lossless": lossless or None,
    }  # fmt: skip
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise UsageError(f"{names[0]} and {names[1]} cannot be combined: give one")
    size_bytes = None if size is None else parse_size(size)
    points = None if drop is None else drop / 100
    return Asked(snr, bits, size_bytes, ratio, points, lossless, exact_side)
