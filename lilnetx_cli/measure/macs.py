"""Multiply-adds of a forward pass, by torch's own counter, and what it leaves out."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lilnetx_cli.graph.counting import counted_operations

# Operations that compute nothing: they move, make or describe tensors.
FREE = frozenset([
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "expand",
    "slice", "select", "split", "unbind", "squeeze", "unsqueeze", "clone", "copy_",
    "detach", "alias", "cat", "stack", "empty", "empty_like", "zeros", "zeros_like",
    "ones", "full", "new_zeros", "new_empty", "arange", "contiguous", "_to_copy",
    "as_strided", "constant_pad_nd", "lift_fresh", "narrow", "split_with_sizes",
    "index", "roll", "chunk", "fill_", "eye", "new_full", "new_ones", "ones_like",
    "full_like", "scalar_tensor", "bernoulli_", "is_same_size", "_reshape_alias",
    "resize_", "unfold", "sym_size", "flip", "repeat", "movedim",
    "_local_scalar_dense",
])  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What one forward pass computes.

    Attributes:
        macs: multiply-adds of convolutions, matrix products and attention.
        uncounted: names of the other operations that compute something.
    """

    macs: int
    uncounted: tuple[str, ...]


@torch.no_grad()
def count_macs(model: nn.Module, example: Tensor) -> Work:
    """Count for one input; `example` is a batch, of which the first is taken."""
    device = next(model.parameters(), example).device
    image = example[:1].to(device)
    listener = _Listener()
    with counted_operations() as counter, listener:
        model(image)
    return Work(counter.get_total_flops() // 2, tuple(sorted(listener.names)))


class _Listener(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the names of operations that the counter has no formula for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        del types
        packet = getattr(func, "overloadpacket", func)
        name = str(packet).removeprefix("aten.")
        if packet not in flop_registry and name not in FREE:
            self.names.add(name.rstrip("_").lstrip("_"))
        return func(*args, **(kwargs or {}))
