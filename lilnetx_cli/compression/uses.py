"""What the weights of a network are multiplied with, in any layer or function.

Below modules and functions every product with a weight is one of a few operations of
torch: matrix products, convolutions and look-ups. They are watched there, and a weight
is known by its memory, so attention, recurrent layers and functions of the user's own
are seen like any other layer.

Legend: G groups, K weights of a row, n places that a layer computes at once.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

MOST_CELLS = 1 << 24  # of inputs that are unfolded at once
aten = torch.ops.aten
PRODUCTS = {aten.mm.default: 0, aten.bmm.default: 0, aten.addmm.default: 1,
            aten.baddbmm.default: 1}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Rows of a weight that see the same inputs.

    Attributes:
        name: of the weight.
        start: first row, of the first dimension.
        stop: the row behind the last.
        groups: of a grouped convolution.
        turned: whether the first dimension is that of inputs, not of outputs.
    """

    name: str
    start: int
    stop: int
    groups: int = 1
    turned: bool = False

    def matrices(self, weight: Tensor) -> Tensor:
        """Return the rows as matrices of outputs by inputs; (G, R, K)."""
        rows = weight.detach()[self.start : self.stop].flatten(1)
        found = rows.reshape(self.groups, -1, rows.shape[1])
        return found.transpose(1, 2) if self.turned else found

    def rows(self, matrices: Tensor) -> Tensor:
        """Return the rows that matrices were made from; (stop - start, ...)."""
        found = matrices.transpose(1, 2) if self.turned else matrices
        return found.reshape(self.stop - self.start, -1)


@dataclass(frozen=True, eq=False)
class Use:
    """One product with a part of a weight; `unfold` gives (G, K, n) of some samples."""

    part: Part
    inputs: Tensor
    unfold: Callable[[Tensor], Tensor]

    def columns(self) -> Iterator[Tensor]:
        """Yield the inputs of all places, (G, K, n), a few samples at a time."""
        one = self.unfold(self.inputs[:1]).numel()
        count = max(1, MOST_CELLS // max(one, 1))
        for samples in torch.split(self.inputs, count):
            yield self.unfold(samples)


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands every product with one of some weights to a function."""

    def __init__(
        self, weights: Mapping[str, Tensor], take: Callable[[Use], None]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._take = take
        self._weights: dict[int, list[tuple[str, Tensor]]] = defaultdict(list)
        for name, weight in weights.items():
            self._weights[weight.untyped_storage().data_ptr()].append((name, weight))

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        use = None
        if func in PRODUCTS:
            first = PRODUCTS[func]
            use = self._product(args[first], args[first + 1])
        elif func is aten.convolution.default:
            use = self._convolution(args)
        elif func is aten.linear.default:
            use = self._product(args[0].flatten(0, -2), args[1].t())
        if use is not None:
            self._take(use)
        return func(*args, **(kwargs or {}))

    def _known(self, tensor: Tensor) -> tuple[str, Tensor] | None:
        """Return the weight that a tensor begins in; several may share a storage."""
        place = tensor.storage_offset()
        for name, weight in self._weights.get(tensor.untyped_storage().data_ptr(), ()):
            start = weight.storage_offset()
            if start <= place < start + weight.numel():
                return name, weight
        return None

    def _product(self, left: Tensor, right: Tensor) -> Use | None:
        """Return the use in x W^T, x W, W x or W^T x."""
        if left.dim() == 3:
            left, right = _one_batch(left), _one_batch(right)
        for inputs, weight in ((left, right), (right.mT, left.mT)):
            found = self._known(weight)
            if found is not None and weight.dim() == 2:
                part = _part_of(*found, weight)
                if part is not None:
                    return Use(part, inputs.flatten(0, -2), lambda x: x.T[None])
        return None

    def _convolution(self, args: tuple[Any, ...]) -> Use | None:
        inputs, weight, _, stride, padding, dilation, turned, _, groups = args
        found = self._known(weight)
        if found is None or weight.shape != found[1].shape:
            return None
        part = Part(found[0], 0, len(weight), groups, turned)
        if turned:
            return Use(part, inputs, lambda x: _grouped(x, groups))
        sizes = weight.shape[2:]

        def unfold(samples: Tensor) -> Tensor:
            sides = [side for pad in reversed(padding) for side in (pad, pad)]
            patches = F.pad(samples, sides)
            for axis, size in enumerate(sizes):
                reach = dilation[axis] * (size - 1) + 1
                patches = patches.unfold(2 + axis, reach, stride[axis])
                patches = patches[..., :: dilation[axis]]
            places = range(2, 2 + len(sizes))
            taps = range(2 + len(sizes), patches.dim())
            patches = patches.permute(0, 1, *taps, *places)  # (B, C, taps, places)
            return _grouped(patches.flatten(1, 1 + len(sizes)), groups)

        return Use(part, inputs, unfold)


def _grouped(values: Tensor, groups: int) -> Tensor:
    """Return (B, G * K, places) as (G, K, B * places)."""
    batch, count = values.shape[:2]
    found = values.reshape(batch, groups, count // groups, -1).permute(1, 2, 0, 3)
    return found.reshape(groups, count // groups, -1)


def _one_batch(tensor: Tensor) -> Tensor:
    """Return a batch of matrices that are one as this one, others as they are."""
    return tensor[0] if tensor.stride(0) == 0 else tensor


def _part_of(name: str, weight: Tensor, used: Tensor) -> Part | None:
    """Return which rows of a weight a matrix (K, R) is; None where it is none."""
    if weight.dim() < 2 or not weight.is_contiguous():
        return None
    length = weight[0].numel()
    first = int(used.storage_offset()) - int(weight.storage_offset())
    if used.stride() == (1, length) and len(used) == length and not first % length:
        return Part(name, first // length, first // length + used.shape[1])
    whole = used.shape == (len(weight), length) and used.is_contiguous()
    return Part(name, 0, len(weight), turned=True) if whole and not first else None


@contextmanager
def plain_operations(network: nn.Module) -> Iterator[None]:
    """Let layers compute by single operations, not by one for a layer at once."""
    fast = torch.backends.mha.get_fastpath_enabled()
    one_dnn = torch._C._get_mkldnn_enabled()
    recurrent = any(isinstance(module, nn.RNNBase) for module in network.modules())
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._set_mkldnn_enabled(one_dnn and not recurrent)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch._C._set_mkldnn_enabled(one_dnn)
