"""A network as a graph of operations, without any that change tensors in place."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from lilnetx_cli.errors import InputError, reason_of


class GraphError(InputError):
    """A network whose channels cannot be followed, or not taken out."""


WHOLE = "the network"  # where no module of it is meant


@dataclass(frozen=True)
class Traced:
    """One pass through a network in evaluation mode.

    Attributes:
        nodes: inputs, operations and the output, in order.
        tensors: name of each parameter, buffer or constant, by its node; tied ones
            have the first of their names.
        values: those tensors by name, less buffers that forward changes.
    """

    nodes: tuple[Node, ...]
    tensors: dict[Node, str]
    values: dict[str, Tensor]


@contextmanager
def following(model: nn.Module, where: list[str]) -> Iterator[None]:
    """Keep the names of the modules that run, the innermost last."""
    handles = []

    def leave(*_: Any) -> None:  # noqa: ANN401
        where.pop()

    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(_enter(where, name)))
        handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _enter(where: list[str], name: str) -> Any:  # noqa: ANN401
    def enter(module: nn.Module, args: Any) -> None:  # noqa: ANN401
        del module, args
        where.append(name)

    return enter


@contextmanager
def quietly() -> Iterator[None]:
    """Keep what torch says while it traces from the user: errors are raised."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def trace(model: nn.Module, inputs: tuple[Any, ...]) -> Traced:
    """Follow a plain network in evaluation mode; raises GraphError where it fails."""
    if model.training:
        raise GraphError("a network is traced in evaluation mode: call .eval() first")
    where: list[str] = []
    with quietly(), torch.no_grad():
        try:
            with following(model, where):
                exported = torch.export.export(model, inputs, strict=False)
            program = exported.run_decompositions({})
        except Exception as error:
            reason = reason_of(error)
            place = (where[-1] if where else "") or WHOLE
            raise GraphError(
                f"the network cannot be traced by torch.export, at {place!r}: {reason}"
            ) from error
    signature = program.graph_signature
    named = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    state, first = dict(_all_tensors(model)), first_names(model)
    nodes = tuple(program.graph.nodes)
    tensors = {n: named[n.name] for n in nodes if n.name in named}
    tensors = {
        n: first[id(state[name])] if name in state else name
        for n, name in tensors.items()
    }
    changing = set(signature.buffers_to_mutate.values())
    known = [n for n in tensors.values() if n in state and n not in changing]
    values = {name: state[name].detach().cpu() for name in known}
    return Traced(nodes, tensors, values)


def module_of(node: Node) -> str:
    """Return the name of the innermost module that an operation belongs to."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [entry[0] for entry in stack.values()]
    return str(paths[-1]) if paths else ""


def first_names(model: nn.Module) -> dict[int, str]:
    """Return the first name of each parameter and buffer, by identity."""
    return {id(tensor): name for name, tensor in reversed(_all_tensors(model))}


def _all_tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
