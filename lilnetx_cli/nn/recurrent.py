"""Recurrent layers keep a list of their weights, which no parametrization reaches."""

from typing import Any

from torch import nn


def read_weights_when_called(module: nn.RNNBase) -> None:
    """Make a parametrized recurrent layer read its weights again at each call.

    Between calls the list is empty: decoded weights belong to the graph of one step,
    and such tensors cannot be copied. What changes is the class that torch made for
    this module alone when it was parametrized.
    """
    own: Any = type(module)
    base: Any = own.__bases__[0]

    def forward(self: nn.RNNBase, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        self.__dict__["_flat_weights"] = weights_of(self)
        try:
            return base.forward(self, *args, **kwargs)
        finally:
            _forget(self)

    def apply(self: nn.RNNBase, fn: Any, recurse: bool = True) -> Any:  # noqa: ANN401
        plain: Any = nn.Module._apply
        return plain(self, fn, recurse)

    own.forward = forward
    own._apply = apply
    _forget(module)


def weights_of(module: nn.RNNBase) -> list[Any]:
    """Return the weights of a recurrent layer in the order of its list."""
    return [getattr(module, name, None) for name in module._flat_weights_names]


def _forget(module: nn.RNNBase) -> None:
    module.__dict__["_flat_weights"] = [None] * len(module._flat_weights_names)
