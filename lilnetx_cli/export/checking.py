"""Does an exported file give what the network gives?"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from lilnetx_cli.errors import LilnetxError

BATCHES = (1, 3)
TOLERANCE = 1e-4  # of the largest output: other kernels add in other orders


def check_same(
    model: nn.Module, exported: Callable[[Tensor], object], example: Tensor, path: Path
) -> None:
    """Compare on random inputs of two batch sizes; raises LilnetxError."""
    generator = torch.Generator().manual_seed(0)
    for batch in BATCHES:
        shape = (batch, *example.shape[1:])
        images = torch.randn(shape, generator=generator)
        try:
            wanted, given = model(images), exported(images)
        except Exception as error:  # any: of the network, or of the engine
            reason = " ".join(str(error).split())[:200]
            raise LilnetxError(
                f"the network cannot be exported for batches of any size: {reason}"
            ) from error
        if not isinstance(wanted, Tensor) or not isinstance(given, Tensor):
            raise LilnetxError("only networks with one tensor as output are exported")
        size = max(float(wanted.abs().max()), 1e-12)
        same = wanted.shape == given.shape
        apart = float((wanted - given).abs().max()) / size if same else float("inf")
        if not apart <= TOLERANCE:
            raise LilnetxError(
                f"{str(path)!r} is not written: it differs from the network by"
                f" {apart:.1e} of the largest output at batch {batch}"
            )
