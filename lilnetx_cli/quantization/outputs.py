"""What a network returns for some calls: its float tensors, and how far they change."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor, nn

from lilnetx_cli.calls import Call
from lilnetx_cli.errors import InputError, typed_reason
from lilnetx_cli.nn.side_rounding import relative_change


def check_calls(model: nn.Module, calls: Sequence[Call]) -> None:
    """Raise InputError, with the reason, where a network does not take a call."""
    try:
        outputs_of(model, calls)
    except Exception as error:
        raise InputError(
            f"the network does not run on the inputs: {typed_reason(error)}"
        ) from error


@torch.no_grad()
def outputs_of(model: nn.Module, calls: Sequence[Call]) -> list[Tensor]:
    """Return all float tensors that a network returns, call after call.

    What a network draws at random, it draws alike each time. The random state of torch
    stays as it was.
    """
    found: list[Tensor] = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for call in calls:
            found += float_tensors(call.on(model))
    return found


def float_tensors(found: object) -> Iterator[Tensor]:
    """Yield the float tensors in a tensor, a mapping, a sequence or a dataclass."""
    if isinstance(found, Tensor):
        if found.is_floating_point():
            yield found
    elif isinstance(found, Mapping):  # also the outputs of Hugging Face's networks
        for value in found.values():
            yield from float_tensors(value)
    elif isinstance(found, list | tuple):
        for value in found:
            yield from float_tensors(value)
    elif is_dataclass(found):
        for each in fields(found):
            yield from float_tensors(getattr(found, each.name))


def change_of(new: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Return the largest relative change of a tensor: RMS of the change over its RMS.

    Infinite where there is nothing to compare, or where shapes differ. Numbers that
    were not finite before, as those of masks, do not count.
    """
    if not wanted or [x.shape for x in new] != [x.shape for x in wanted]:
        return math.inf
    return max(_change(*pair) for pair in zip(new, wanted, strict=True))


def _change(new: Tensor, wanted: Tensor) -> float:
    finite = wanted.isfinite()
    if not bool(finite.all()):
        new, wanted = new[finite], wanted[finite]
    if not wanted.numel():
        return 0.0
    change = relative_change(new, wanted)
    return math.inf if math.isnan(change) else change
