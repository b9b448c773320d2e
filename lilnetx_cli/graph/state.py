"""What the rules of operations share while a network is walked through.

Legend: O output and I input channels of a layer, g groups.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from lilnetx_cli.graph.grids import Grid, channels, unknown
from lilnetx_cli.graph.union_find import FIXED, Labels

# Modules of torch that compute with their parameters' shapes as they come; those of
# others are cut, too, and the result compared.
SLICEABLE = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.PReLU, nn.Embedding,
)  # fmt: skip


class Unsupported(Exception):  # noqa: N818
    """An operation used in a way that its rule does not know: its channels stay."""


@dataclass(frozen=True, eq=False)
class Reader:
    """One layer that mixes channels: a matrix of weights between them.

    Attributes:
        name: of the module, for messages.
        key: name of the weight.
        inputs: labels, (I,).
        known: inputs that are the same for all images, (I,).
        value: theirs, (I,).
        outputs: labels, (O,).
        reads: which output needs which input, (O, I / g).
        groups: g; outputs of group j see inputs of group j alone.
        foldable: a constant input may go into the bias: no padding is in the way.
    """

    name: str
    key: str
    inputs: Tensor
    known: Tensor
    value: Tensor
    outputs: Tensor
    reads: Tensor
    groups: int
    foldable: bool


@dataclass(frozen=True, eq=False)
class Result:
    """What one layer gives: labels, known and value of its channels, (O,) each."""

    module: str
    labels: Tensor
    known: Tensor
    value: Tensor


@dataclass(frozen=True, eq=False)
class Padding:
    """Zero channels that a module puts around others, and can put fewer of.

    Attributes:
        module: name of a `PadChannels`.
        before: labels of those in front.
        after: labels of those behind.
    """

    module: str
    before: Tensor
    after: Tensor


@dataclass(eq=False)
class State:
    """What has been found so far.

    Attributes:
        names: of the tensors that nodes stand for.
        tensors: parameters, buffers and constants by name.
        uses: operations that take each of them.
        held: nodes whose channels must stay.
        axes: labels of (tensor name, dimension).
        readers: layers that mix channels.
        results: of all layers with weights of their own.
        paddings: modules that add zero channels.
        parts: lists of labels of which equally many must stay.
        reshaped: modules in which channels pass an operation that is told sizes, by
            the operation's name.
        entries: groups and input labels of each weight of a layer, by its name.
    """

    model: nn.Module
    names: dict[Node, str]
    tensors: dict[str, Tensor]
    uses: Mapping[str, int]
    held: frozenset[str]
    labels: Labels = field(default_factory=Labels)
    axes: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    readers: list[Reader] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    paddings: list[Padding] = field(default_factory=list)
    parts: list[tuple[Tensor, ...]] = field(default_factory=list)
    reshaped: dict[str, str] = field(default_factory=dict)
    entries: dict[str, tuple[int, Tensor]] = field(default_factory=dict)
    grids: dict[Node, Any] = field(default_factory=dict)

    def axis(self, name: str, dimension: int) -> Tensor:
        """Return the labels of one dimension of a parameter or buffer."""
        key = (name, dimension)
        if key not in self.axes:
            size = self.tensors[name].shape[dimension]
            labels = self.labels.fresh(size)
            if not self._sliceable(name):
                labels = torch.zeros_like(labels)
            self.axes[key] = labels
        return self.axes[key]

    def direct(self, node: Any) -> str | None:  # noqa: ANN401
        """Return the name of the parameter that a node is, if it is one."""
        name = self.names.get(node) if isinstance(node, Node) else None
        return name if name in self.tensors else None

    def grid(self, node: Node) -> Any:  # noqa: ANN401
        """Return what is known of a node: a grid, or several."""
        if node not in self.grids:
            self.grids[node] = self._constant(node)
        return self.grids[node]

    def fix(self, grid: Any) -> None:  # noqa: ANN401
        """Say that no channel of a grid, or of several, can be taken out."""
        if isinstance(grid, Grid):
            self.labels.fix(grid.labels)
        elif isinstance(grid, list | tuple):
            for inner in grid:
                self.fix(inner)

    def _constant(self, node: Node) -> Grid:
        """Return the grid of a parameter that is used as it is."""
        shape = tuple(node.meta["val"].shape)
        wide = [axis for axis, size in enumerate(shape) if size > 1]
        name = self.direct(node)
        if name is None or len(wide) > 1:
            if name is not None:
                for axis in wide:
                    self.labels.fix(self.axis(name, axis))
            return unknown(shape)
        value = self.tensors[name].double()
        if not wide:
            one = torch.ones((), dtype=torch.bool).expand(shape)
            return Grid(shape, torch.zeros(shape).long(), one, value)
        labels = self.axis(name, wide[0])
        known = torch.ones(len(labels), dtype=torch.bool)
        return channels(shape, wide[0], labels, known, value.reshape(-1))

    def _sliceable(self, name: str) -> bool:
        owner = self.model.get_submodule(name.rpartition(".")[0])
        ours = not type(owner).__module__.startswith("torch.nn")
        return ours or isinstance(owner, SLICEABLE)


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


def result_grids(node: Node) -> Any:  # noqa: ANN401
    """Return grids of which nothing is known for what an operation gives."""
    return _unknown_like(node.meta.get("val"))


def _unknown_like(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, list | tuple):
        return tuple(_unknown_like(inner) for inner in value)
    return unknown(tuple(value.shape)) if isinstance(value, Tensor) else value


def opaque(state: State, node: Node, args: Sequence[Any]) -> Any:  # noqa: ANN401
    """Take an operation that may mix everything: all its channels stay."""
    del args
    for given in node.all_input_nodes:
        state.fix(state.grid(given))
    return result_grids(node)


def only_along(state: State, grid: Grid, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return labels, known, value along one dimension; channels elsewhere are fixed."""
    axis %= len(grid.shape)
    if any(other != axis for other in grid.axes()):
        state.fix(grid)
        size = grid.shape[axis]
        nothing = torch.full((size,), FIXED, dtype=torch.int64)
        return nothing, torch.zeros(size, dtype=torch.bool), torch.zeros(size).double()
    return grid.along(axis)
