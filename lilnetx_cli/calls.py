"""What a network is called with: the arguments of a call, most of them batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lilnetx_cli.errors import InputError, type_of

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

    def copied(self) -> "Call":
        """Return the call with copies of its tensors: some networks change them."""
        args, kwargs = pytree.tree_map_only(
            Tensor, Tensor.clone, (self.args, dict(self.kwargs))
        )
        return Call(args, kwargs)

    @property
    def first(self) -> Tensor | None:
        """The first tensor that is a batch; None where there is none."""
        tensors = (x for x in self.leaves() if isinstance(x, Tensor) and x.dim())
        return next(tensors, None)

    @property
    def only(self) -> Tensor | None:
        """The only argument; None where there are several, or it is no batch."""
        return self.first if len(self.leaves()) == 1 else None

    @property
    def size(self) -> int:
        """Examples in the batch: the length of the first tensor."""
        return 1 if self.first is None else len(self.first)

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


def first_calls(calls: Sequence[Call], examples: int) -> list[Call]:
    """Return the first calls that have so many examples together, or all."""
    found: list[Call] = []
    for call in calls:
        if sum(x.size for x in found) >= examples:
            break
        found.append(call)
    return found


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
