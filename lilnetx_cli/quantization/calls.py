"""What a network is called with, and the float tensors in what it returns."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lilnetx_cli.errors import InputError, type_of, typed_reason
from lilnetx_cli.nn.side_rounding import relative_change

# One tensor, a tuple of arguments or a mapping of named ones; a list holds several.
Inputs = Tensor | tuple[Any, ...] | Mapping[str, Any] | list[Any]


@dataclass(frozen=True, eq=False)
class Call:
    """The arguments of one call of a network, most of them batches."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def on(self, model: nn.Module) -> Any:  # noqa: ANN401
        """Call a network."""
        return model(*self.args, **self.kwargs)

    def to(self, device: torch.device | str) -> "Call":
        """Return the same call with its tensors on a device."""
        args, kwargs = pytree.tree_map_only(
            Tensor, lambda tensor: tensor.to(device), (self.args, dict(self.kwargs))
        )
        return Call(args, kwargs)

    @property
    def size(self) -> int:
        """Examples in the batch: the length of the first tensor."""
        tensors = (x for x in self.leaves() if isinstance(x, Tensor) and x.dim())
        return next((len(tensor) for tensor in tensors), 1)

    def leaves(self) -> list[Any]:
        """Return all that the arguments hold, in order."""
        return pytree.tree_leaves((self.args, dict(self.kwargs)))


class Caller(nn.Module):
    """A network that takes a call where others take a batch of images."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, call: Call) -> Any:  # noqa: ANN401
        """Call the network."""
        return call.on(self.model)


def calls_of(inputs: Inputs) -> list[Call]:
    """Return the calls that inputs stand for.

    A tensor, a tuple of arguments or a mapping of named arguments is one batch; a list
    holds several of these. Raises InputError for anything else, and for none at all.
    """
    found = [_call_of(x) for x in (inputs if isinstance(inputs, list) else [inputs])]
    if not found:
        raise InputError("no inputs are given, expected a batch of them or more")
    return found


def check_calls(model: nn.Module, calls: Sequence[Call]) -> None:
    """Raise InputError, with the reason, where a network does not take a call."""
    try:
        outputs_of(model, calls)
    except Exception as error:
        raise InputError(
            f"the network does not run on the inputs: {typed_reason(error)}"
        ) from error


def first_calls(calls: Sequence[Call], examples: int) -> list[Call]:
    """Return the first calls that have so many examples together, or all."""
    found: list[Call] = []
    for call in calls:
        if sum(x.size for x in found) >= examples:
            break
        found.append(call)
    return found


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


def _call_of(batch: object) -> Call:
    if isinstance(batch, Tensor):
        return Call((batch,))
    if isinstance(batch, tuple):
        return Call(batch)
    if isinstance(batch, Mapping):
        return Call((), dict(batch))
    raise InputError(
        f"a batch of inputs is {type_of(batch)}, expected a tensor, a tuple of"
        " arguments or a mapping of named arguments"
    )
