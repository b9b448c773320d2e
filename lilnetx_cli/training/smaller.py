"""A run that goes on with a pruned network: the dense one, cut to its shapes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lilnetx_cli.checkpoint import Checkpoint
from lilnetx_cli.errors import InputError, UsageError, one_line, reason_of
from lilnetx_cli.metadata import CUTS
from lilnetx_cli.models.pruned import make_smaller, with_cuts
from lilnetx_cli.models.registry import FORM
from lilnetx_cli.nn import materialize


def cut_to_trained(
    model: nn.Module, architecture: dict[str, Any], trained: Checkpoint, file: str
) -> dict[str, Any]:
    """Cut a fresh network, in place, to the shapes of a trained one that was pruned.

    Returns the record of what it is then. Raises UsageError where the trained one is no
    pruned form of it, FileError for a record that makes no sense.
    """
    record = with_cuts(architecture, trained.architecture)
    if CUTS in record:
        _check_form(architecture, trained.architecture or {}, file)
    make_smaller(model, record, trained.state_dict, file, trusted=True)
    return record


def _check_form(own: Mapping[str, Any], trained: Mapping[str, Any], file: str) -> None:
    """Refuse images or classes of another number than the cut network has.

    Of a dense network, what does not fit starts fresh.
    """
    arguments = trained.get("args")
    for key in FORM:
        count = arguments.get(key) if isinstance(arguments, dict) else None
        if count is not None and count != own["args"].get(key):
            raise UsageError(
                f"{file!r} is pruned for {one_line(str(count))} {key}, the images"
                f" need {own['args'].get(key)}: start from the dense network"
            )


def cut_to_resumed(
    model: nn.Module,
    architecture: dict[str, Any],
    form: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """Cut a fresh network, in place, to what `form_of` said of it; None is dense."""
    if form is None:
        return architecture
    try:
        record = {**architecture, CUTS: form["cuts"]}
        shapes = {k: torch.empty(v, device="meta") for k, v in form["shapes"].items()}
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise InputError(f"the run cannot be resumed: {reason_of(error)}") from error
    make_smaller(model, record, shapes, "the state of the run", trusted=True)
    return record


def form_of(model: nn.Module, architecture: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what it takes to cut a fresh network to this one; None of a dense one."""
    if CUTS not in architecture:
        return None
    state = materialize(model).state_dict()
    shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    return {"cuts": architecture[CUTS], "shapes": shapes}
