"""Channels chosen by what is left once they are cut out: it is cut, and measured."""

import copy
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from lilnetx_cli.errors import UsageError
from lilnetx_cli.graph.tracing import GraphError
from lilnetx_cli.measure.latency import measure_latency, torch_runs
from lilnetx_cli.measure.macs import count_macs
from lilnetx_cli.nn.channel_counts import round_kept
from lilnetx_cli.nn.channel_prior import Channels, channel_norms, strongest
from lilnetx_cli.nn.living_channels import living, nonzero_slices
from lilnetx_cli.nn.materialize import materialize
from lilnetx_cli.processes import ALONE, Processes
from lilnetx_cli.pruning import prune
from lilnetx_cli.training.macs_control import choose_gone, take_out

TRIES = 8
CLOSE, CLOSE_IN_TIME = 0.99, 0.95  # of the share ends them
BATCH = 32  # images that are timed together
SECONDS = 1.0  # for the timing of a network
FINE = 1_000_000  # parts of a share that processes tell each other


@dataclass(frozen=True)
class Gauge:
    """Measures what is left of a network once dead channels are cut out.

    Attributes:
        example: what the network takes, a batch.
        timed: whether time is measured, of a batch of 32 in torch, and not MACs.
        processes: that share the run; the first one's clock and device count.
    """

    example: Tensor
    timed: bool = False
    processes: Processes = ALONE

    @property
    def close(self) -> float:
        """The part of a share that is near enough to it."""
        return CLOSE_IN_TIME if self.timed else CLOSE

    def share(self, model: nn.Module) -> float | None:
        """Return the share that is left; None of a network that cannot be cut.

        The model stays as it is.
        """
        dense = materialize(model).cpu().eval()
        try:
            small = prune(dense, (self.example,)).model
        except GraphError:
            return None
        if self.timed:
            share = partial(self._time, dense, small)
            return (self.processes.from_first(share) or 0) / FINE
        work = [count_macs(network, self.example).macs for network in (dense, small)]
        return work[1] / work[0]

    def _time(self, dense: nn.Module, small: nn.Module) -> int:
        """Return the ratio of median times in millionths, both networks in turns."""
        images = self.example[:1].expand(BATCH, *self.example.shape[1:]).contiguous()
        networks = [network.to(self.processes.device) for network in (dense, small)]
        times = measure_latency(
            torch_runs(networks, images),
            engine="torch",
            batch=BATCH,
            threads=torch.get_num_threads(),
            seconds=SECONDS,
        )
        return round(FINE * times[1].median / times[0].median)


def chosen(
    model: nn.Module,
    channels: Channels,
    target: float,
    gauge: Gauge,
    multiple: int = 1,
) -> Tensor:
    """Return the classes to take out, (K,), so that a share is left.

    Layers keep channels in multiples. The network is cut to see what is left. Where
    that is not what was predicted, such as of time, others are chosen: the largest
    share found below the target, or the smallest one above. Raises UsageError where
    the target is out of reach as predicted.
    """
    low, high, wanted = 0.0, 1.0, target
    tried: list[tuple[float, Tensor]] = []
    shares: dict[tuple[bool, ...], float | None] = {}
    for _ in range(TRIES):
        try:
            gone = choose_gone(model, channels, wanted)
        except UsageError:
            if wanted >= target:
                raise
            low = wanted  # so little cannot be left
            wanted = (low + high) / 2
            continue
        gone = _rounded(model, channels, gone, multiple)
        key = tuple(gone.tolist())
        if key not in shares:
            shares[key] = gauge.share(without(model, channels, gone))
        share = shares[key]
        if share is None or gauge.close * target <= share <= target:
            return gone
        known = multiple == 1 and not gauge.timed
        if share < target and known and _as_predicted(model, channels, gone, share):
            return gone  # the next channel is worth more than what is missing
        low, high = (low, wanted) if share > target else (wanted, high)
        tried.append((share, gone))
        wanted = (low + high) / 2
    return _nearest(tried, target)


def _nearest(tried: list[tuple[float, Tensor]], target: float) -> Tensor:
    """Return the choice with the largest share up to a target, or the smallest one."""
    below = [x for x in tried if x[0] <= target]
    if below:
        return max(below, key=lambda x: x[0])[1]
    return min(tried, key=lambda x: x[0])[1]


def _as_predicted(
    model: nn.Module, channels: Channels, gone: Tensor, share: float
) -> bool:
    """Tell whether nothing would be gained by choosing fewer classes.

    That is so where the share is the predicted one, and where none but dead ones go.
    """
    predicted = channels.macs(~gone) / channels.macs(torch.ones_like(gone))
    if CLOSE * predicted <= share <= predicted / CLOSE:
        return True
    return torch.equal(gone, ~living(channels, nonzero_slices(model, channels)))


@torch.no_grad()
def _rounded(
    model: nn.Module, channels: Channels, gone: Tensor, multiple: int
) -> Tensor:
    """Return classes to take out, (K,) in and out, that leave multiples."""
    norms, nonzero = (
        channel_norms(model, channels).cpu(),
        nonzero_slices(model, channels),
    )
    while multiple > 1:
        alive = round_kept(channels, ~gone, norms, multiple)
        gone = ~living(channels, nonzero, ~alive)
        if not (alive & gone).any():
            break
        norms = norms.masked_fill(alive & gone, 0.0)  # these die with what they read
    return gone


def smallest_share(model: nn.Module, channels: Channels, gauge: Gauge) -> float | None:
    """Return the share that is left with one channel in each layer."""
    norms = channel_norms(model, channels).detach().cpu()
    return gauge.share(without(model, channels, ~strongest(channels, norms)))


def without(model: nn.Module, channels: Channels, gone: Tensor) -> nn.Module:
    """Return a copy of a network from which classes of channels, (K,), are taken."""
    model = copy.deepcopy(model)
    take_out(model, channels, gone)
    return model
