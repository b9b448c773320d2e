"""How much of a network's weights is zero, in whole channels."""

from collections.abc import Mapping

from torch import Tensor


def channel_sparsity(state: Mapping[str, Tensor]) -> float | None:
    """Return the share of output channels of layers without a non-zero weight.

    A layer is any float tensor of two or more dimensions, its channels are dimension
    0; None where there is none.
    """
    dead = channels = 0
    seen: set[int] = set()
    for tensor in state.values():
        known = id(tensor) in seen
        if tensor.dim() < 2 or not tensor.is_floating_point() or known:
            continue
        seen.add(id(tensor))
        channels += len(tensor)
        dead += int((~tensor.flatten(1).any(1)).sum())
    return dead / channels if channels else None
