"""What a loop of the user's own is refused for before anything changes."""

from collections.abc import Mapping

from torch import nn

from lilnetx_cli.calls import Call
from lilnetx_cli.errors import UsageError, type_of
from lilnetx_cli.nn.evaluating import evaluating
from lilnetx_cli.nn.latents import latent_groups
from lilnetx_cli.nn.targets import (
    Chosen,
    find_targets,
    is_inside,
    names_apart,
    names_of,
)
from lilnetx_cli.quantization.outputs import check_calls

WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def check_numbers(steps: int, size: int | None, growth: float) -> None:
    """Raise UsageError for numbers out of bounds."""
    if steps < 1:
        raise UsageError(f"steps is {steps}, expected 1 or more")
    if size is not None and (not isinstance(size, int) or size < 1):
        raise UsageError(f"target_size is {size!r}, expected a whole number of bytes")
    if not 0 <= growth <= 1:
        raise UsageError(f"growth is {growth}, expected a share from 0 to 1")


def check_tolerance(tolerance: float) -> None:
    """Raise UsageError for what is no share of the outputs."""
    if not 0 <= tolerance <= 1:
        raise UsageError(f"tolerance is {tolerance!r}, expected a share from 0 to 1")


def check_network(model: object, names: Mapping[str, object]) -> None:
    """Raise UsageError for what is not a bare network with parameters.

    `names` are arguments that list some, by the name of the argument.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"model is {type_of(model)}, expected a network, an nn.Module")
    wrapped = isinstance(model, WRAPPERS)
    if wrapped or hasattr(model, "_orig_mod"):
        raise UsageError(
            "the network is wrapped: build the Compressor first, then wrap the network"
            " (torch.compile, DataParallel, DistributedDataParallel)"
        )
    if next(model.parameters(), None) is None:
        raise UsageError("the network has no parameters")
    for name, given in names.items():
        if isinstance(given, str):
            raise UsageError(f"{name} is {given!r}, expected a list of names")


def left_out(
    model: nn.Module, exclude: Chosen, include: Chosen
) -> list[str | type[nn.Module]]:
    """Return what gets no latents: what is excluded, and layers that are frozen.

    Raises UsageError for a name that no module or weight has, and where nothing is
    left.
    """
    apart = [*exclude, *_frozen(model, include)]
    try:
        targets, _ = find_targets(model, apart, include)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not targets and not latent_groups(model):
        raise UsageError(
            "the network has no weights to train: none that is a convolution's, a"
            " linear or an embedding layer's and neither excluded nor frozen; name"
            " layers of other classes, or weights, in include"
        )
    return apart


def untouched(model: nn.Module, exclude: Chosen) -> list[str]:
    """Return the names of the tensors that are to stay as they are.

    That is all in excluded modules, parameters that are frozen, and the buffers of
    layers whose parameters all are.
    """
    found: list[str] = []
    apart = names_apart(model, exclude)
    for name, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        frozen = [x for x, parameter in own.items() if not parameter.requires_grad]
        if own and len(frozen) == len(own):
            frozen += [x for x, _ in module.named_buffers(recurse=False)]
        if is_inside(name, apart):
            frozen = [x for x in module.state_dict() if "." not in x]
        found += [f"{name}.{x}".removeprefix(".") for x in frozen]
    return found


def _frozen(model: nn.Module, include: Chosen) -> list[str]:
    """Return the names of layers all of whose weights are frozen: they stay."""
    found = []
    for name, module in model.named_modules():
        weights = [module._parameters[x] for x in names_of(name, module, include)]
        if weights and not any(x is not None and x.requires_grad for x in weights):
            found.append(name)
    return found


def check_runs(model: nn.Module, call: Call) -> None:
    """Raise InputError where a network does not take its inputs; nothing is learned."""
    with evaluating(model):
        check_calls(model, [call.to(next(model.parameters()).device)])
