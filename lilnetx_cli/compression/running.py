"""Networks run on the inputs they are given, or say in one line why not."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lilnetx_cli.compression.moments import Batch, call
from lilnetx_cli.errors import InputError, reason_of


@torch.no_grad()
def check_runs(network: nn.Module, batches: Sequence[Batch]) -> None:
    """Run a network on all its inputs once.

    Raises InputError where it does not take a batch, or where inputs hold NaN or
    infinity.
    """
    for number, batch in enumerate(batches):
        if not _is_finite(batch[0]):  # later arguments may be masks of -inf
            raise InputError(
                f"the inputs hold NaN or infinity, in batch {number}: leave those out"
            )
        try:
            call(network, batch)
        except Exception as error:
            found = ", ".join(str(tuple(getattr(x, "shape", ()))) for x in batch)
            raise InputError(
                f"the network does not run on the inputs, {found}: {reason_of(error)}"
            ) from error


def _is_finite(leaf: object) -> bool:
    if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
        return True
    return bool(leaf.isfinite().all())
