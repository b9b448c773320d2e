"""How much of a network's weights is zero: in whole slices, in whole channels.

The one definition of each. A slice counts where it holds two or more weights; the
share is that of all slices of a network, not a mean of layers. torch is not imported
here: the counts of a file's header will do.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Rows(Protocol):
    """Anything with latents of one weight."""

    @property
    def symbols(self) -> Any:  # noqa: ANN401
        """Integers (N, L), one slice a row, of torch or numpy."""


def slice_sparsity(latents: Iterable[Rows]) -> float | None:
    """Return the share of all slices that are zero; None without slices."""
    return share_of_zero(_count(entry.symbols) for entry in latents)


def share_of_zero(counts: Iterable[tuple[int, int]]) -> float | None:
    """Return what (zero, all) of several tensors amount to; None where all is 0."""
    zero = total = 0
    for gone, count in counts:
        zero += gone
        total += count
    return zero / total if total else None


def channel_sparsity(state: Mapping[str, "Tensor"]) -> float | None:
    """Return the share of output channels of layers without a non-zero weight.

    A layer is any float tensor of two or more dimensions, its channels are dimension
    0; tied ones count once. None where there is none.
    """
    layers = {
        id(tensor): tensor
        for tensor in state.values()
        if tensor.dim() > 1 and tensor.is_floating_point()
    }
    return share_of_zero(
        (int((~tensor.flatten(1).any(1)).sum()), len(tensor))
        for tensor in layers.values()
    )


def _count(symbols: Any) -> tuple[int, int]:  # noqa: ANN401
    """Return (zero, all) slices of two or more weights."""
    slices, length = symbols.shape
    return (int((~symbols.any(1)).sum()), slices) if length > 1 else (0, 0)
