"""What a network takes: images or tokens, as its record or the user says."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx_cli.errors import UsageError, refusing

EXAMPLE_BATCH = 2
# A file is attacker text: no image it asks for may be larger.
MAX_SIDE = 2048
MAX_CHANNELS = 1024
MOST_AXES = 6
MOST_ELEMENTS = 1 << 24
TYPES = {"float32": torch.float32, "int64": torch.int64, "int32": torch.int32}
FEWEST_TOKENS = 2  # where no embedding says how many there are


@dataclass(frozen=True)
class InputForm:
    """What one input is: its shape, without the batch, and its type."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32


def example_input(
    record: Mapping[str, Any] | None,
    form: InputForm | None = None,
    network: nn.Module | None = None,
) -> Tensor:
    """Return an input of the form that a network takes, a batch of two.

    The form is the given one, or that of the images of the architecture record. Images
    are zeros. Integers are tokens: they count up, and stay below the number of rows of
    the network's embedding that looks them up. Raises UsageError where neither says the
    form.
    """
    if form is None:
        form = _recorded(record or {})
    if form is None:
        raise UsageError(
            "the file does not say what its network takes: add --input-shape, such as"
            " 3x224x224, or 128:int64 for tokens (in Python, load_model(path,"
            " inputs=...))"
        )
    zeros = torch.zeros(EXAMPLE_BATCH, *form.shape, dtype=form.dtype)
    if form.dtype.is_floating_point:
        return zeros
    rows = None if network is None else _rows_looked_up(network, zeros)
    count = torch.arange(math.prod(zeros.shape), dtype=form.dtype)
    return (count % (rows or FEWEST_TOKENS)).reshape(zeros.shape)


def check_form(network: nn.Module, form: InputForm) -> None:
    """Raise UsageError where a network does not run on inputs of a form."""
    example = example_input(None, form, network)
    shape = tuple(example.shape[1:])
    refused = f"the network does not take inputs of shape {shape}"
    with torch.no_grad(), refusing(refused, UsageError):
        network(example)


def parse_form(text: str) -> InputForm:
    """Read 3x224x224 or 128:int64 as a form; raises UsageError."""
    sizes, colon, kind = text.strip().lower().partition(":")
    try:
        shape = tuple(int(part) for part in sizes.split("x"))
    except ValueError:
        shape = ()
    if not shape or not all(0 < size <= 1 << 20 for size in shape):
        raise UsageError(
            f"{text!r} is not a shape: write 3x224x224, or 128:int64 for tokens"
        )
    if colon and kind not in TYPES:
        known = ", ".join(TYPES)
        raise UsageError(f"{text!r} names the type {kind!r}, expected one of {known}")
    return InputForm(shape, TYPES[kind or "float32"])


def form_text(inputs: Tensor) -> str | None:
    """Return the form of a batch as `parse_form` reads it; None for other types."""
    kinds = [name for name, dtype in TYPES.items() if dtype is inputs.dtype]
    if not kinds or inputs.dim() < 2:
        return None
    sizes = "x".join(str(size) for size in inputs.shape[1:])
    return sizes if kinds[0] == "float32" else f"{sizes}:{kinds[0]}"


def text_of(form: InputForm) -> str | None:
    """Return a form as `parse_form` reads it; None for other types."""
    return form_text(torch.empty(1, *form.shape, dtype=form.dtype, device="meta"))


def _rows_looked_up(network: nn.Module, tokens: Tensor) -> int | None:
    """Return the rows of the smallest embedding that takes the input itself."""
    with _lookups(network, tokens) as rows, torch.no_grad(), suppress(Exception):
        network(tokens)  # where it does not run, that is told later
    return min(rows, default=None)


@contextmanager
def _lookups(network: nn.Module, tokens: Tensor) -> Iterator[list[int]]:
    rows: list[int] = []

    def look(module: nn.Module, args: tuple[Any, ...]) -> None:
        given = args[0] if args else None
        itself = isinstance(given, Tensor) and given.data_ptr() == tokens.data_ptr()
        if isinstance(module, nn.Embedding) and itself:
            rows.append(module.num_embeddings)

    handles = [
        module.register_forward_pre_hook(look)
        for module in network.modules()
        if isinstance(module, nn.Embedding)
    ]
    try:
        yield rows
    finally:
        for handle in handles:
            handle.remove()


def recorded_form(text: str) -> InputForm | None:
    """Read the form that a file names; None where it is none or too large."""
    try:
        form = parse_form(text)
    except UsageError:
        return None
    few = len(form.shape) <= MOST_AXES and math.prod(form.shape) <= MOST_ELEMENTS
    return form if few else None


def _recorded(record: Mapping[str, Any]) -> InputForm | None:
    text = record.get("input")
    if isinstance(text, str):
        return recorded_form(text)
    side, arguments = record.get("size"), record.get("args")
    channels = arguments.get("channels", 3) if isinstance(arguments, dict) else 3
    if not isinstance(side, int) or not isinstance(channels, int) or side is True:
        return None
    fits = 0 < side <= MAX_SIDE and 0 < channels <= MAX_CHANNELS
    return InputForm((channels, side, side)) if fits else None
