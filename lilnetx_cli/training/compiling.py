"""torch.compile, where this machine can do it."""

from typing import Any

import torch
from torch import Tensor, nn

from lilnetx_cli.errors import UsageError, typed_reason


def compiled(model: nn.Module, device: torch.device) -> Any:  # noqa: ANN401
    """Return a network as torch.compile runs it.

    A few numbers are compiled first: without a compiler nothing is trained or written.
    Raises UsageError where that fails.
    """
    try:
        torch.compile(_wave)(torch.ones(4, device=device))
    except Exception as error:  # any: of torch, or of the compiler that it calls
        raise UsageError(
            "--compile does not work on this machine, leave it out:"
            f" {typed_reason(error)}"
        ) from error
    return torch.compile(model)


def _wave(numbers: Tensor) -> Tensor:
    return numbers.sin() + 1
