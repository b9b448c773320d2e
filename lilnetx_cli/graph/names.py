"""Names of the tensors of a network: a tied one has several, and goes by the first."""

from torch import Tensor, nn


def first_names(model: nn.Module) -> dict[int, str]:
    """Return the first name of each parameter and buffer, by identity."""
    return {id(tensor): name for name, tensor in reversed(all_tensors(model))}


def all_tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Return parameters and buffers with all their names."""
    return [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
