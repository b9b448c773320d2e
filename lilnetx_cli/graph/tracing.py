"""A network as a graph of operations, without any that change tensors in place."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from lilnetx_cli.errors import InputError, reason_of
from lilnetx_cli.graph.names import all_tensors, first_names
from lilnetx_cli.graph.recorder import returning


class GraphError(InputError):
    """A network whose channels cannot be followed, or not taken out."""


WHOLE = "the network"  # where no module of it is meant


@dataclass(frozen=True)
class Traced:
    """Passes through a network in evaluation mode, one or more.

    Attributes:
        nodes: inputs, operations and the output, in order, one pass after another.
        tensors: name of each parameter, buffer or constant, by its node; tied ones
            have the first of their names.
        values: those tensors by name, less buffers that forward changes.
        results: what the network gives, by the node of the output.
        sized: modules that compute with the sizes of inputs: a number in one of their
            operations may be another at another size.
    """

    nodes: tuple[Node, ...]
    tensors: dict[Node, str]
    values: dict[str, Tensor]
    results: dict[Node, tuple[Node, ...]]
    sized: frozenset[str] = frozenset()


def together(passes: Sequence[Traced], sized: frozenset[str]) -> Traced:
    """Join passes of one network for inputs of several forms."""
    values = {name: value for one in passes for name, value in one.values.items()}
    changing = {
        name
        for one in passes
        for name in one.tensors.values()
        if name in values and name not in one.values
    }
    return Traced(
        tuple(node for one in passes for node in one.nodes),
        {node: name for one in passes for node, name in one.tensors.items()},
        {name: value for name, value in values.items() if name not in changing},
        {node: given for one in passes for node, given in one.results.items()},
        sized,
    )


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
    """Keep what torch says while it traces from the user: errors are raised.

    One that torch made of Ctrl-C is KeyboardInterrupt again.
    """
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
    except Exception as error:
        if any(isinstance(cause, KeyboardInterrupt) for cause in _causes(error)):
            raise KeyboardInterrupt from error
        raise
    finally:
        logging.disable(before)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Go through an error, and the ones that it came of."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def trace(
    model: nn.Module,
    inputs: tuple[Any, ...],
    dead_ends: frozenset[int] = frozenset(),
) -> Traced:
    """Follow a plain network in evaluation mode; raises GraphError where it fails.

    `dead_ends` are steps of its path of which nothing comes. They are followed, too:
    the layers run, and must fit what comes in.
    """
    if model.training:
        raise GraphError("a network is traced in evaluation mode: call .eval() first")
    with returning(model, dead_ends) as more:
        program = _exported(model, inputs)
    signature = program.graph_signature
    named = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    state, first = dict(all_tensors(model)), first_names(model)
    nodes = tuple(program.graph.nodes)
    tensors = {n: named[n.name] for n in nodes if n.name in named}
    tensors = {
        n: first[id(state[name])] if name in state else name
        for n, name in tensors.items()
    }
    changing = set(signature.buffers_to_mutate.values())
    known = [n for n in tensors.values() if n in state and n not in changing]
    values = {name: state[name].detach().cpu() for name in known}
    *_, output = nodes
    given = output.args[0][: len(output.args[0]) - len(more)]
    results = {output: tuple(x for x in given if isinstance(x, Node))}
    return Traced(nodes, tensors, values, results)


def _exported(model: nn.Module, inputs: tuple[Any, ...]) -> Any:  # noqa: ANN401
    """Return the program of a network, without operations in place."""
    where: list[str] = []
    with quietly(), torch.no_grad():
        try:
            with following(model, where):
                exported = torch.export.export(model, inputs, strict=False)
            return exported.run_decompositions({})
        except Exception as error:
            reason = reason_of(error)
            place = (where[-1] if where else "") or WHOLE
            raise GraphError(
                f"the network cannot be traced by torch.export, at {place!r}: {reason}"
            ) from error


def arguments_of(inputs: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """Return the arguments of a call: a tuple of them, or one by itself."""
    return inputs if isinstance(inputs, tuple) else (inputs,)


def module_of(node: Node) -> str:
    """Return the name of the innermost module that an operation belongs to."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [entry[0] for entry in stack.values()]
    return str(paths[-1]) if paths else ""
