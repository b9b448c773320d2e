"""Networks run on the inputs they are given, or say in one line why not."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lilnetx_cli.calls import Call
from lilnetx_cli.errors import InputError, reason_of


@torch.no_grad()
def check_runs(network: nn.Module, calls: Sequence[Call]) -> None:
    """Run a network on all its inputs once.

    Raises InputError where it does not take them, or where they hold NaN or infinity.
    """
    for number, call in enumerate(calls):
        if not _is_finite(call.first):  # later arguments may be masks of -inf
            raise InputError(
                f"the inputs hold NaN or infinity, in batch {number}: leave those out"
            )
        try:
            call.copied().on(network)
        except Exception as error:
            found = ", ".join(
                str(tuple(getattr(x, "shape", ()))) for x in call.leaves()
            )
            raise InputError(
                f"the network does not run on the inputs, {found}: {reason_of(error)}"
            ) from error


def _is_finite(leaf: object) -> bool:
    if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
        return True
    return bool(leaf.isfinite().all())
