"""Does the code of a network compute with the number of its channels?

A sum over channels leaves no trace of how many there were, and what the code divides it
by may show only on some inputs: so the two networks are compared as they are written,
operation by operation.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.fx import Node

from lilnetx_cli.graph.nodes import operation
from lilnetx_cli.graph.rules_pointwise import is_pointwise
from lilnetx_cli.graph.tracing import Traced, module_of
from lilnetx_cli.pruning.selection import Selection

SCALED = frozenset(("scaled_dot_product_attention", "full", "full_like", "new_full"))


def cuts_sums(selection: Selection) -> bool:
    """Tell whether channels leave over which an operation sums."""
    return any(
        not reader.key and not selection.stays(reader.inputs).all()
        for reader in selection.graph.readers
    )


def first_other_number(dense: Traced, smaller: Traced) -> str | None:
    """Return the module in which two traces first compute with different numbers.

    None where they are the same operations with the same numbers. A number that is a
    tensor by itself counts as different: its value may come from a size.
    """
    pairs = zip(_operations(dense), _operations(smaller), strict=False)
    for one, other in pairs:
        if one.target is not other.target or _numbers(one) != _numbers(other):
            return module_of(one)
        if any(_is_lone_number(dense, x) for x in one.all_input_nodes):
            return module_of(one)
    return None


def _operations(traced: Traced) -> Iterator[Node]:
    return (node for node in traced.nodes if node.op == "call_function")


def _numbers(node: Node) -> list[int | float]:
    """Return the numbers that go into values, not into shapes."""
    if not is_pointwise(node) and operation(node) not in SCALED:
        return []
    given: tuple[Any, ...] = (*node.args, *node.kwargs.values())
    return [x for x in given if isinstance(x, int | float) and not isinstance(x, bool)]


def _is_lone_number(traced: Traced, node: Node) -> bool:
    value = node.meta.get("val")
    made = node in traced.tensors and traced.tensors[node] not in traced.values
    return made and isinstance(value, Tensor) and value.numel() == 1
