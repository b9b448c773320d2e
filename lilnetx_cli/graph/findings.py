"""What is found out about a network: its layers, and what they read and give.

Legend: O output and I input channels of a layer, g groups.
"""

from dataclasses import dataclass

from torch import Tensor


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
        obstacle: what keeps a constant input from going into the bias; empty if nothing
            does.
    """

    name: str
    key: str
    inputs: Tensor
    known: Tensor
    value: Tensor
    outputs: Tensor
    reads: Tensor
    groups: int
    obstacle: str

    @property
    def foldable(self) -> bool:
        """Tell whether a constant input may go into the bias."""
        return not self.obstacle


@dataclass(frozen=True, eq=False)
class Result:
    """What one layer gives.

    Attributes:
        module: its name.
        labels: of its channels, (O,).
        known: channels that are the same for all inputs, (O,).
        value: theirs, (O,).
        begins: known channels that come into the layer unknown, (O,).
    """

    module: str
    labels: Tensor
    known: Tensor
    value: Tensor
    begins: Tensor


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
