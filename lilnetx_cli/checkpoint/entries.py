"""All tensors of whatever a file holds, at any depth, and the bytes each one takes."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx_cli.checkpoint.convert import TO_FILE

Keys = tuple[str, ...]
Spans = list[tuple[int, int]]

MOST_DEPTH = 64  # of dicts and lists in each other; what is deeper is not looked at


@dataclass(frozen=True, eq=False)
class Entry:
    """One tensor of a file.

    Attributes:
        keys: of the dicts it is in, its own last.
        tensor: in its file.
        stored_bytes: bytes of the file that it takes, and no entry before it.
        shares: name of the entry before it that is the same memory, or None.
        dense: whether it is laid out as .lnx files hold tensors.
        optimizer: whether it is in the state of an optimizer.
    """

    keys: Keys
    tensor: Tensor
    stored_bytes: int
    shares: str | None
    dense: bool
    optimizer: bool

    @property
    def name(self) -> str:
        """All keys, with dots between."""
        return ".".join(self.keys)

    @property
    def dense_bytes(self) -> int:
        """All its elements, of which a view may repeat some."""
        return self.tensor.numel() * self.tensor.element_size()

    @property
    def dtype(self) -> str:
        """The element type as .lnx files call it, or as torch does."""
        known = TO_FILE.get(self.tensor.dtype)
        return str(self.tensor.dtype) if known is None else known.name


def find_entries(content: Any) -> tuple[list[Entry], dict[int, int]]:  # noqa: ANN401
    """Return all tensors, and the bytes of each storage by its address."""
    storages: dict[int, int] = {}
    spans: dict[int, Spans] = {}
    places: dict[tuple[Any, ...], str] = {}
    entries = []
    for keys, tensor, optimizer in _tensors(content):
        if tensor.layout is not torch.strided or tensor.is_meta:
            entries.append(Entry(keys, tensor, 0, None, False, optimizer))
            continue
        storage = tensor.untyped_storage()
        start = storage.data_ptr()
        storages[start] = storage.nbytes()
        first = int(tensor.storage_offset()) * tensor.element_size()
        extent = _extent(tensor)
        new = cover(spans.setdefault(start, []), first, first + extent) if extent else 0
        place = (start, first, tensor.dtype, tensor.shape, tensor.stride())
        shares = places.get(place) if extent else None
        places.setdefault(place, ".".join(keys))
        dense = tensor.dtype in TO_FILE and not tensor.is_quantized
        entries.append(Entry(keys, tensor, new, shares, dense, optimizer))
    return entries, storages


def _extent(tensor: Tensor) -> int:
    """Return the bytes from the first element of a tensor to its last."""
    if not tensor.numel():
        return 0
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    last = sum((size - 1) * stride for size, stride in steps)
    return (last + 1) * tensor.element_size()


def cover(spans: Spans, start: int, stop: int) -> int:
    """Add a span to sorted ones that do not meet; return how much of it is new."""
    first = bisect_left(spans, start, key=lambda span: span[1])
    last = bisect_right(spans, stop, key=lambda span: span[0])
    old = spans[first:last]
    low = min([start, *(span[0] for span in old[:1])])
    high = max([stop, *(span[1] for span in old[-1:])])
    spans[first:last] = [(low, high)]
    return high - low - sum(b - a for a, b in old)


def _tensors(content: Any) -> Iterator[tuple[Keys, Tensor, bool]]:  # noqa: ANN401
    """Yield keys and tensor of all that is in a file, in its order, each dict once."""
    seen: dict[int, Any] = {}  # kept, so that no other object gets its number
    waiting: list[Iterator[tuple[Keys, Any, bool]]] = [iter([((), content, False)])]
    while waiting:
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
            continue
        keys, value, optimizer = found
        if isinstance(value, nn.Module):
            value = value.state_dict()
        if isinstance(value, Tensor):
            yield keys or ("tensor",), value, optimizer
            continue
        if not isinstance(value, (Mapping, list, tuple)) or id(value) in seen:
            continue
        seen[id(value)] = value
        if len(keys) < MOST_DEPTH:
            optimizer = optimizer or _is_optimizer(value)
            waiting.append(_inner(keys, value, optimizer=optimizer))


def _inner(
    keys: Keys,
    value: Any,  # noqa: ANN401
    *,
    optimizer: bool,
) -> Iterator[tuple[Keys, Any, bool]]:
    """Yield what is directly in a dict or a list."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, inner in items:
        text = str(key)
        yield (*keys, text), inner, optimizer or "optim" in text.lower()


def _is_optimizer(value: Any) -> bool:  # noqa: ANN401
    """Tell whether this is what the state_dict of torch's optimizers returns."""
    return isinstance(value, Mapping) and {"state", "param_groups"} <= set(value)
