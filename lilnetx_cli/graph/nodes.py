"""What a node of a traced network says of its operation."""

from collections.abc import Sequence
from typing import Any

from torch.fx import Node


def operation(node: Node) -> str:
    """Return the name of an operation, as torch's users know it."""
    schema = getattr(node.target, "_schema", None)
    name = schema.name.partition("::")[2] if schema is not None else str(node.target)
    return str(name).strip("_")


def argument(node: Node, args: Sequence[Any], name: str) -> Any:  # noqa: ANN401
    """Return an argument of an operation: given by place, by name, or the default.

    None where the operation has no argument of that name.
    """
    schema = node.target._schema  # type: ignore[union-attr]
    for place, known in enumerate(schema.arguments):
        if known.name == name:
            given = node.kwargs.get(name, known.default_value)
            return args[place] if place < len(args) else given
    return None


def hard_coded(node: Node) -> str:
    """Return why channels stay at an operation with a hard-coded size."""
    return f"hard-coded size in {operation(node)}"
