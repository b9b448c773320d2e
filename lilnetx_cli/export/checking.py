"""Does an exported file give what the network gives, at whatever size it takes?"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from lilnetx_cli.errors import LilnetxError, reason_of

BATCHES = (1, 3)
TOLERANCE = 1e-4  # of the largest output: other kernels add in other orders


def free_axes(example: Tensor) -> tuple[int, ...]:
    """Return the axes of an input along which its size may vary, less the batch.

    Height and width of images, the length of a signal or of a row of tokens.
    """
    first = 2 if example.is_floating_point() else 1
    return tuple(range(first, example.dim()))


def trial_batches(example: Tensor) -> list[Tensor]:
    """Return random inputs of the example's own size, in other batches."""
    return [_random(example, (batch, *example.shape[1:])) for batch in BATCHES]


def trial_sizes(model: nn.Module, example: Tensor) -> list[Tensor]:
    """Return random inputs of other sizes, those at which the network runs.

    One is a little larger along each axis, so that what divides the size of the example
    does not divide this one; one is twice as long along the first. Where it runs at
    neither, one is a little smaller, and one is half as long.
    """
    axes, shape = free_axes(example), example.shape
    if not axes:
        return []
    larger, smaller = [1, *shape[1:]], [1, *shape[1:]]
    longer, shorter = [1, *shape[1:]], [1, *shape[1:]]
    for step, axis in enumerate(axes):
        larger[axis] += 1 + 2 * step
        smaller[axis] = max(1, smaller[axis] - 1 - 2 * step)
    longer[axes[0]] *= 2
    shorter[axes[0]] = -(-shorter[axes[0]] // 2)
    for pair in ((larger, longer), (smaller, shorter)):
        inputs = [_random(example, sizes) for sizes in pair if sizes != [1, *shape[1:]]]
        found = [x for x in inputs if _runs(model, x)]
        if found:
            return found
    return []


def check_same(
    model: nn.Module,
    exported: Callable[[Tensor], object],
    inputs: Sequence[Tensor],
    path: Path,
) -> None:
    """Compare both on some inputs; raises LilnetxError."""
    for images in inputs:
        try:
            wanted, given = model(images), exported(images)
        except Exception as error:  # any: of the network, or of the engine
            reason = reason_of(error)
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
                f" {apart:.1e} of the largest output at batch {len(images)}"
            )


def _random(example: Tensor, shape: Sequence[int]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if example.is_floating_point():
        return torch.randn(tuple(shape), generator=generator)
    top = int(example.max()) + 1
    return torch.randint(top, tuple(shape), generator=generator, dtype=example.dtype)


def _runs(model: nn.Module, inputs: Tensor) -> bool:
    try:
        model(inputs)
    except Exception:  # any: whatever code does at a size it is not made for
        return False
    return True
