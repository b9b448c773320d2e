"""Channels that are to go in a loop of the user's own: how many, and which."""

from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lilnetx_cli.calls import Call
from lilnetx_cli.errors import UsageError
from lilnetx_cli.nn.channel_prior import Channels
from lilnetx_cli.processes import Processes
from lilnetx_cli.training.cutting import Gauge, chosen
from lilnetx_cli.training.macs_control import MORE, MacsController, choose_gone

NAMES = "target_macs", "target_latency", "round_channels"  # as arguments


def macs_controller(
    macs: float | None,
    latency: float | None,
    multiple: int,
    names: tuple[str, str, str] = NAMES,
) -> MacsController | None:
    """Return what steers to a share of the MACs or of the time, None without one.

    `names` are those that the user knows of the three numbers. Raises UsageError for
    numbers out of bounds, and for wishes that conflict.
    """
    shares = {names[0]: macs, names[1]: latency}
    given = {name: share for name, share in shares.items() if share is not None}
    for name, share in given.items():
        if not 0 < share < 1:
            raise UsageError(f"{name} is {share}, expected a share between 0 and 1")
    if len(given) > 1:
        raise UsageError(f"{names[0]} and {names[1]} cannot be combined: give one")
    if multiple < 1:
        raise UsageError(f"{names[2]} is {multiple}, expected 1 or more")
    if multiple > 1 and not given:
        raise UsageError(f"{names[2]} needs {names[0]} or {names[1]}")
    if not given:
        return None
    (share,) = given.values()
    # Multiples are coarse: a second choice could take far more than is too much.
    more = MORE if multiple == 1 else 1.0
    return MacsController(share, timed=latency is not None, more=more)


def _processes(device: torch.device) -> Processes:
    """Return those that share the loop: the clock of the first counts for all."""
    if not (dist.is_available() and dist.is_initialized()):
        return Processes(device=device)
    return Processes(dist.get_rank(), dist.get_world_size(), device)


@dataclass(frozen=True)
class Chooser:
    """Finds the channels to take out of a network.

    Attributes:
        gauge: measures what is left of the network; None where it takes more than one
            tensor, so that MACs are counted layer by layer.
        multiple: what layers keep channels in multiples of.
    """

    gauge: Gauge | None
    multiple: int = 1

    @classmethod
    def of(cls, call: Call, macs: MacsController | None, multiple: int) -> "Chooser":
        """Return what chooses for a network that takes such a call.

        Raises UsageError where it must be measured and takes more than one tensor.
        """
        timed = macs is not None and macs.timed
        if len(call.args) == 1 and not call.kwargs and isinstance(call.args[0], Tensor):
            example = call.args[0]
            processes = _processes(example.device)
            return cls(Gauge(example.cpu()[:2], timed, processes), multiple)
        if timed or multiple > 1:
            raise UsageError(
                "target_latency and round_channels are for networks that take one"
                " tensor"
            )
        return cls(None)

    def __call__(
        self, model: nn.Module, channels: Channels, macs: MacsController
    ) -> Tensor:
        """Return the classes to take out, (K,), for the share that is aimed at.

        Raises UsageError where it is out of reach.
        """
        if self.gauge is None:
            return choose_gone(model, channels, macs.aim)
        return chosen(model, channels, macs.aim, self.gauge, self.multiple)

    def finally_gone(
        self, model: nn.Module, channels: Channels, macs: MacsController
    ) -> Tensor:
        """Return what goes at the end; a course may have fewer steps than planned."""
        if macs.gone is not None and macs.settled:
            return macs.gone
        return self(model, channels, replace(macs, settled=True))
