"""Rules of sums of products: matrix products, einsum, attention.

Every operand has a letter a dimension, as in einsum: those of the result stay, the sum
runs over the others. Channels pass along letters that stay. Along a letter that is
summed, channels of which one factor is zero add nothing, and may leave all operands.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from lilnetx_cli.graph.findings import Reader
from lilnetx_cli.graph.grids import Grid, channels, unknown
from lilnetx_cli.graph.nodes import argument, operation
from lilnetx_cli.graph.state import State, Unsupported, mixed, opaque, rule
from lilnetx_cli.graph.tracing import module_of
from lilnetx_cli.graph.union_find import FIXED

Letters = Sequence[Hashable]
SCALED = "scaled by the number of channels"


@rule("aten::matmul", "aten::bmm", "aten::mm", "aten::mv", "aten::dot")
def matmul(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """(..., N, K) x (..., K, M) -> (..., N, M)."""
    left, right = args
    rank = max(len(left.shape), len(right.shape))
    batch = tuple(range(rank - 2, 0, -1))  # counted from the right, as they broadcast

    def front(grid: Grid) -> tuple[Hashable, ...]:
        return batch[len(batch) - max(len(grid.shape) - 2, 0) :]

    one = ("k",) if len(left.shape) == 1 else (*front(left), "n", "k")
    two = ("k",) if len(right.shape) == 1 else (*front(right), "k", "m")
    ends = tuple(x for x in (*one, *two) if x in ("n", "m"))
    return contract(state, node, [left, right], [one, two], (*batch, *ends))


@rule("aten::einsum")
def einsum(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Any sum of products that names its letters."""
    terms, arrow, result = str(args[0]).replace(" ", "").partition("->")
    letters = terms.split(",")
    twice = any(len(set(term)) < len(term) for term in letters)
    if not arrow or "." in terms or twice:
        raise Unsupported
    return contract(state, node, args[1], letters, result)


@rule("aten::scaled_dot_product_attention")
def attention(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """(..., L, E), (..., S, E), (..., S, V) -> (..., L, V).

    Channels of values pass. Those of queries and keys stay where their number scales
    the sums.
    """
    query, key, value, mask = (*args, None)[:4]
    if argument(node, args, "enable_gqa"):
        raise Unsupported
    if isinstance(mask, Grid):
        state.fix(mask, _mixes(node))
    front, last = tuple(range(len(value.shape) - 2)), len(value.shape) - 1
    if argument(node, args, "scale") is None:
        state.fix([query, key], "attention scales by their number")
    elif node.name in state.held:
        state.fix([query, key], SCALED)
    elif any(grid.axes() not in ([], [last]) for grid in (query, key)):
        state.fix([query, key], _mixes(node))
    else:
        terms = ((*front, "l", "e"), (*front, "s", "e"))
        contract(state, node, [query, key], terms, (*front, "l", "s"))
    scores = unknown((*query.shape[:-1], key.shape[-2]))
    terms = ((*front, "l", "s"), (*front, "s", "v"))
    return contract(state, node, [scores, value], terms, (*front, "l", "v"))


def contract(
    state: State,
    node: Node,
    grids: Sequence[Grid],
    terms: Sequence[Letters],
    result: Letters,
) -> Grid:
    """Follow channels through a sum of products of tensors."""
    if any(len(grid.axes()) > 1 for grid in grids):
        return mixed(state, node, ())  # type: ignore[no-any-return]
    letters = {
        term[grid.axes()[0]] for grid, term in zip(grids, terms, strict=True)
        if grid.axes()
    }  # fmt: skip
    passing = [letter for letter in letters if letter in result]
    if len(passing) > 1:
        return mixed(state, node, ())  # type: ignore[no-any-return]
    summed = letters - set(passing)
    if summed and node.name in state.held:
        return opaque(state, node, (), SCALED)  # type: ignore[no-any-return]
    for letter in summed:
        _sum_over(state, node, _operands(grids, terms, letter))
    shape = tuple(node.meta["val"].shape)
    if not passing:
        return unknown(shape, state.labels.fixed(_mixes(node)))
    operands = _operands(grids, terms, passing[0])
    return _pass_along(state, shape, result.index(passing[0]), operands)


def _mixes(node: Node) -> str:
    return f"{operation(node)} mixes channels"


def _operands(
    grids: Sequence[Grid], terms: Sequence[Letters], letter: Hashable
) -> list[tuple[Tensor, Tensor]]:
    """Return labels, (n,), and where a factor is zero, (n,), along a letter."""
    found = []
    for grid, term in zip(grids, terms, strict=True):
        axis = term.index(letter) if letter in term else None
        if axis is None or grid.shape[axis] == 1:
            continue
        labels, known, value = grid.along(axis)
        if grid.axes() not in ([], [axis]):  # channels along another dimension
            labels = torch.full_like(labels, FIXED)
        found.append((labels, known & (value == 0)))
    return found


def _joined(
    state: State, operands: Sequence[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Unify the channels of factors; returns labels, and where the product is zero."""
    labels, zero = operands[0]
    for other, more in operands[1:]:
        state.labels.unify(labels, other)
        zero = zero | more
    return labels, zero


def _sum_over(
    state: State, node: Node, operands: Sequence[tuple[Tensor, Tensor]]
) -> None:
    labels, zero = _joined(state, operands)
    name, nothing = module_of(node), torch.zeros(len(zero)).double()
    outputs = torch.tensor([FIXED])
    reads = ~zero[None]  # (1, I)
    state.readers.append(
        Reader(name, "", labels, zero, nothing, outputs, reads, 1, operation(node))
    )
    state.sums[node.name] = name


def _pass_along(
    state: State,
    shape: tuple[int, ...],
    axis: int,
    operands: Sequence[tuple[Tensor, Tensor]],
) -> Grid:
    labels, zero = _joined(state, operands)
    return channels(shape, axis, labels, zero, torch.zeros(len(zero)).double())
