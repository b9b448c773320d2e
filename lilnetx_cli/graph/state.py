"""What the rules of operations share while a network is walked through."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.utils import _pytree as pytree

from lilnetx_cli.graph.findings import Padding, Reader, Result
from lilnetx_cli.graph.grids import Grid, channels, unknown
from lilnetx_cli.graph.nodes import operation
from lilnetx_cli.graph.tracing import module_of
from lilnetx_cli.graph.union_find import FIXED, Labels

# Modules of torch that take their sizes from their parameters. Those of other packages
# are cut, too, and the result is compared.
SLICEABLE = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.PReLU, nn.Embedding,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip

HEADS = "attention heads"


class Unsupported(Exception):  # noqa: N818
    """An operation used in a way that its rule does not know: its channels stay."""


@dataclass(eq=False)
class State:
    """What has been found so far.

    Attributes:
        names: of the tensors that nodes stand for.
        tensors: parameters, buffers and constants by name.
        uses: operations that take each of them.
        held: names of nodes whose channels must stay: their number is hard-coded, or
            scales what they give.
        sized: modules that compute with the sizes of inputs.
        fed: nodes that depend on the inputs.
        axes: labels of (tensor name, dimension).
        readers: layers that mix channels.
        results: of all layers with weights of their own.
        paddings: modules that add zero channels.
        parts: lists of labels of which the same number must stay.
        reshaped: modules of operations that channels pass and whose sizes may be
            hard-coded, or their constants not exact, by the operation's name.
        parted: views that part or join dimensions of channels: their module, and the
            shape of their result.
        sums: modules of operations that add up channels, and that the code may scale by
            their number, by the operation's name.
        entries: groups and input labels of each weight of a layer, by its name.
        lost: operations after which channels are no longer constant, by label.
    """

    model: nn.Module
    names: dict[Node, str]
    tensors: dict[str, Tensor]
    uses: Mapping[str, int]
    held: frozenset[str]
    sized: frozenset[str] = frozenset()
    fed: set[Node] = field(default_factory=set)
    labels: Labels = field(default_factory=Labels)
    axes: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    readers: list[Reader] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    paddings: list[Padding] = field(default_factory=list)
    parts: list[tuple[Tensor, ...]] = field(default_factory=list)
    reshaped: dict[str, str] = field(default_factory=dict)
    parted: set[tuple[str, tuple[int, ...]]] = field(default_factory=set)
    sums: dict[str, str] = field(default_factory=dict)
    entries: dict[str, tuple[int, Tensor]] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)
    grids: dict[Node, Any] = field(default_factory=dict)

    def axis(self, name: str, dimension: int) -> Tensor:
        """Return the labels of one dimension of a parameter or buffer."""
        key = (name, dimension)
        if key not in self.axes:
            labels = self.labels.fresh(self.tensors[name].shape[dimension])
            reason = self._why_whole(name)
            if reason is not None:
                self.labels.fix(labels, reason)
            self.axes[key] = labels
        return self.axes[key]

    def direct(self, node: Any) -> str | None:  # noqa: ANN401
        """Return the name of the parameter that a node is, if it is one."""
        name = self.names.get(node) if isinstance(node, Node) else None
        return name if name in self.tensors else None

    def told_sizes(self, node: Node) -> bool:
        """Tell whether the numbers of an operation may be others at other sizes."""
        if not self.sized or module_of(node) not in self.sized:
            return False
        given = pytree.tree_leaves((node.args, node.kwargs))
        return any(type(x) in (int, float) for x in given)

    def grid(self, node: Node) -> Any:  # noqa: ANN401
        """Return what is known of a node: a grid, or several."""
        if node not in self.grids:
            self.grids[node] = self._constant(node)
        return self.grids[node]

    def fix(self, grid: Any, reason: str) -> None:  # noqa: ANN401
        """Say that no channel of a grid, or of several, can be taken out, and why."""
        if isinstance(grid, Grid):
            self.labels.fix(grid.labels, reason)
        elif isinstance(grid, list | tuple):
            for inner in grid:
                self.fix(inner, reason)

    def add_result(
        self,
        node: Node,
        axis: int,
        labels: Tensor,
        known: Tensor,
        value: Tensor,
        *,
        before: Tensor | None = None,
    ) -> Grid:
        """Note what a layer gives; returns the grid of its (first) output.

        `before` tells which channels are known where they come in, if the layer has
        the same channels there.
        """
        begins = known if before is None else known & ~before
        self.results.append(Result(module_of(node), labels, known, value, begins))
        output = node.meta["val"]
        shape = tuple((output if isinstance(output, Tensor) else output[0]).shape)
        return channels(shape, axis % len(shape), labels, known, value)

    def _constant(self, node: Node) -> Grid:
        """Return the grid of a parameter that is used as it is."""
        shape = tuple(node.meta["val"].shape)
        wide = [axis for axis, size in enumerate(shape) if size > 1]
        name = self.direct(node)
        if name is None:
            return unknown(shape)
        if len(wide) > 1:
            reason = f"joined with the parameter {name!r}"
            for axis in wide:
                self.labels.fix(self.axis(name, axis), reason)
            return unknown(shape, self.labels.fixed(reason))
        value = self.tensors[name].double()
        if not wide:
            one = torch.ones((), dtype=torch.bool).expand(shape)
            return Grid(shape, torch.zeros(shape).long(), one, value)
        labels = self.axis(name, wide[0])
        known = torch.ones(len(labels), dtype=torch.bool)
        return channels(shape, wide[0], labels, known, value.reshape(-1))

    def _why_whole(self, name: str) -> str | None:
        """Return why the module of a parameter cannot be cut; None where it can."""
        owner = self.model.get_submodule(name.rpartition(".")[0])
        outside = not type(owner).__module__.startswith("torch.nn")
        if outside or isinstance(owner, SLICEABLE):
            return None
        if isinstance(owner, nn.MultiheadAttention):
            return HEADS
        return f"modules of the type {type(owner).__name__} are not cut"


Rule = Callable[[State, Node, Sequence[Any]], Any]
RULES: dict[str, Rule] = {}
WEIGHTED: set[str] = set()


def rule(*names: str, weighted: bool = False) -> Callable[[Rule], Rule]:
    """Register the rule of operations by their names in torch.

    A weighted rule gets parameters as nodes: it knows what their dimensions mean.
    """

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        WEIGHTED.update(names if weighted else ())
        return function

    return register


def result_grids(node: Node, label: int = FIXED) -> Any:  # noqa: ANN401
    """Return grids of which nothing is known for what an operation gives."""
    return _unknown_like(node.meta.get("val"), label)


def _unknown_like(value: Any, label: int) -> Any:  # noqa: ANN401
    if isinstance(value, list | tuple):
        return tuple(_unknown_like(inner, label) for inner in value)
    return unknown(tuple(value.shape), label) if isinstance(value, Tensor) else value


def opaque(
    state: State,
    node: Node,
    args: Sequence[Any],
    reason: str | None = None,
) -> Any:  # noqa: ANN401
    """Take an operation that may mix everything: all channels that it reads stay."""
    del args
    reason = _heads(state, node) or reason or f"no rule for {operation(node)}"
    for given in node.all_input_nodes:
        state.fix(state.grid(given), reason)
    return result_grids(node, state.labels.fixed(reason))


def _heads(state: State, node: Node) -> str | None:
    module = state.model.get_submodule(module_of(node))
    return HEADS if isinstance(module, nn.MultiheadAttention) else None


def mixed(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Take an operation that mixes the channels that it reads: they stay."""
    return opaque(state, node, args, f"{operation(node)} mixes channels")


def layer_input(state: State, args: Sequence[Any]) -> Grid:
    """Return what is known of the input of a layer, which may be a parameter, too."""
    given = args[0]
    return state.grid(given) if isinstance(given, Node) else given  # type: ignore[no-any-return]


def only_along(
    state: State, node: Node, grid: Grid, axis: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return labels, known, value along one dimension; channels elsewhere are fixed."""
    axis %= len(grid.shape)
    if any(other != axis for other in grid.axes()):
        reason = f"{operation(node)} reads another dimension"
        state.fix(grid, reason)
        nothing = torch.zeros(grid.shape[axis])
        label = state.labels.fixed(reason)
        return torch.full(nothing.shape, label), nothing.bool(), nothing.double()
    return grid.along(axis)
