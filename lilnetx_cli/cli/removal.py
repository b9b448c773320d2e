"""What pruning took out of a network, and why zero filters stay, in words."""

from torch import nn

from lilnetx_cli.measure.sparsity import zero_channels
from lilnetx_cli.pruning import Pruned

MOST_LAYERS = 3


def removal_lines(dense: nn.Module, pruned: Pruned, multiple: int) -> list[str]:
    """Return a line on the channels that went, and one on the zero filters left."""
    count = pruned.removed_channels
    gone = f"{count:,} channel{'' if count == 1 else 's'} removed"
    counts = zero_channels(dense.state_dict()).values()
    if count == 0 and not any(zero for zero, _ in counts):
        total = sum(channels for _, channels in counts)
        return [f"{gone}: none of the {total:,} filters is zero"]
    stay = kept_zero_channels(pruned)
    return [gone] + ([_reason(stay, pruned, multiple)] if stay else [])


def kept_zero_channels(pruned: Pruned) -> dict[str, tuple[int, int]]:
    """Return (zero, all) filters of each layer of the result that has zero ones."""
    counts = zero_channels(pruned.model.state_dict())
    return {name: pair for name, pair in counts.items() if pair[0]}


def _reason(stay: dict[str, tuple[int, int]], pruned: Pruned, multiple: int) -> str:
    zero = sum(count for count, _ in stay.values())
    first = sorted(stay, key=lambda name: -stay[name][0])[:MOST_LAYERS]
    named = [
        f"{name.removesuffix('.weight')} ({stay[name][0]} of {stay[name][1]})"
        for name in first
    ]
    if len(stay) > MOST_LAYERS:
        named.append(f"{len(stay) - MOST_LAYERS} more layers")
    why = ["sums couple such channels with others in use", "biases and norms fill them"]
    if pruned.held:
        why.append("operations hold them")
    if multiple > 1:
        why.append(f"counts are multiples of {multiple}")
    return (
        f"zero filters that stay: {zero:,}, in {', '.join(named)}; {', or '.join(why)}"
    )
