"""Which tensors of a plain network are side values: stored beside its latents."""

from collections.abc import Collection, Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from lilnetx_cli.nn.targets import weight_names

LEAST_TABLE = 8  # numbers in strict order from here on are a table, not learned
FEW_VALUES = 16  # different numbers of a buffer take few bytes as they are


def side_values(model: nn.Module, without: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the float tensors of a plain network that may be rounded, by name.

    These are norms, biases, positional embeddings, class tokens and whatever else are
    parameters of their own, and buffers that a state dict holds. Left out are the names
    in `without`, weights of layers that can have latents but have none, as they were
    excluded, weights with a parametrization, tensors that are zero or not finite, and
    buffers of very few different numbers or of numbers in strict order.
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor, learned in _tensors(model):
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if name in without or not _holds_numbers(tensor):
            continue
        if learned or not _is_made(tensor):
            found[name] = tensor
    return found


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    """Yield (name, tensor, whether it is a parameter) of all that may be rounded."""
    for path, module in model.named_modules():
        kept = weight_names(module)
        for name, parameter in module.named_parameters(recurse=False):
            wide = isinstance(module, ParametrizationList) and parameter.dim() > 1
            if name not in kept and not wide:
                yield f"{path}.{name}".removeprefix("."), parameter, True
        for name, buffer in module.named_buffers(recurse=False):
            if name not in module._non_persistent_buffers_set:
                yield f"{path}.{name}".removeprefix("."), buffer, False


def _holds_numbers(tensor: Tensor) -> bool:
    return (
        tensor.is_floating_point()
        and bool(tensor.detach().any())
        and bool(tensor.detach().isfinite().all())
    )


def _is_made(buffer: Tensor) -> bool:
    """Tell whether a buffer looks computed, not measured: a constant, mask or table."""
    flat = buffer.detach().flatten()
    if len(torch.unique(flat)) <= FEW_VALUES:
        return True
    steps = flat.diff()
    in_order = bool((steps > 0).all()) or bool((steps < 0).all())
    return len(flat) >= LEAST_TABLE and in_order
