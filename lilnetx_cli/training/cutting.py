"""Channels chosen by what is left once they are cut out, counted on the cut network."""

import copy

from torch import Tensor, nn

from lilnetx_cli.graph.tracing import GraphError
from lilnetx_cli.measure.macs import count_macs
from lilnetx_cli.nn.channel_prior import Channels
from lilnetx_cli.nn.materialize import materialize
from lilnetx_cli.pruning import prune
from lilnetx_cli.training.macs_control import choose_gone, take_out

TRIES = 8
CLOSE = 0.98  # of the share ends them


def share_once_cut(model: nn.Module, example: Tensor) -> float | None:
    """Return the share of the multiply-adds that is left without dead channels.

    None of a network that cannot be cut. The model stays as it is.
    """
    network = materialize(model).cpu().eval()
    dense = count_macs(network, example).macs
    try:
        small = prune(network, (example,)).model
    except GraphError:
        return None
    return count_macs(small, example).macs / dense


def chosen(
    model: nn.Module, channels: Channels, target: float, example: Tensor
) -> Tensor:
    """Return the classes to take out, (K,), so that a share of the MACs is left.

    The network is cut to see what is left. Where that is not what was predicted, such
    as with grouped convolutions, which are cut by whole groups, others are chosen: as
    much as can be had below the share. Raises UsageError where it is out of reach.
    """
    low, high, wanted = 0.0, 1.0, target
    most, best = 0.0, None
    for _ in range(TRIES):
        gone = choose_gone(model, channels, wanted)
        share = share_once_cut(_without(model, channels, gone), example)
        if share is None or CLOSE * target <= share <= target:
            return gone
        if share > target:
            high = wanted
        else:
            low = wanted
            if share > most:
                most, best = share, gone
        wanted = (low + high) / 2
    return gone if best is None else best


def _without(model: nn.Module, channels: Channels, gone: Tensor) -> nn.Module:
    model = copy.deepcopy(model)
    take_out(model, channels, gone)
    return model
