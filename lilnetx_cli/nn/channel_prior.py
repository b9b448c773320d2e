"""A prior on whole channels, so that they die and can be cut out of a network.

The rows of all layers that give a channel form one group: it is gone when all of them
are zero, in a residual network those of every block that adds to it. The slice prior
alone leaves a slice or two in most rows, so that files shrink and the computation
stays. Source: group lasso (Yuan and Lin 2006) over latents, as LilNetX, equation 8, has
it over slices.

Legend: K classes of coupled channels, O rows and I columns of a layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.latents import latent_weights

# Keeps the gradient of a norm finite where all of a group is zero.
NORM_FLOOR = 1e-12


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer with weights between channels.

    Attributes:
        rows: class of each channel that it gives, (O,).
        columns: class of each channel that it reads, (I,).
        macs: multiply-adds of one input.
        depthwise: whether each channel reads itself alone.
        grouped: whether it is a convolution of several groups, which go as a whole.
        transposed: whether its weight has columns first, as transposed convolutions do.
        through: weights of depthwise layers that its inputs have no way around: it
            reads nothing of a channel whose rows in them are zero.
    """

    rows: Tensor
    columns: Tensor
    macs: int
    depthwise: bool = False
    grouped: bool = False
    transposed: bool = False
    through: tuple[str, ...] = ()

    @property
    def ungrouped(self) -> bool:
        """Whether each row reads all columns."""
        return not (self.depthwise or self.grouped)

    def by_rows(self, latent: Tensor) -> Tensor:
        """Return a view of its latents that has rows first."""
        return latent.transpose(0, 1) if self.transposed else latent


@dataclass(frozen=True, eq=False)
class Channels:
    """The coupled channels of a network.

    Attributes:
        count: K; class 0 is of the channels that must stay.
        layers: by the name of their weight.
    """

    count: int
    layers: Mapping[str, Layer]

    def costs(self) -> Tensor:
        """Return the share of the MACs that each class takes part in; (K,), sum 1.

        A layer counts by its rows and by its columns, since it shrinks by both.
        """
        found = torch.zeros(self.count)
        for layer in self.layers.values():
            for classes in (layer.rows, layer.columns):
                share = torch.full((len(classes),), layer.macs / len(classes))
                found.index_add_(0, classes, share)
        found[0] = 0
        return found / found.sum().clamp_min(1)

    def macs(self, alive: Tensor) -> float:
        """Return the multiply-adds that are left with some classes alive, (K,)."""
        total = 0.0
        for layer in self.layers.values():
            rows = float(alive[layer.rows].float().mean())
            columns = float(alive[layer.columns].float().mean())
            total += layer.macs * (rows * columns if layer.ungrouped else rows)
        return total


def channel_norms(model: nn.Module, channels: Channels) -> Tensor:
    """Return the RMS of all latents in the rows of each class, in steps; (K,).

    0 for class 0 and for classes without latents.
    """
    energy, numbers = _sums(model, channels)
    norms = (energy / numbers.clamp_min(1) + NORM_FLOOR).sqrt()
    norms = torch.where(numbers > 0, norms, 0.0)
    return torch.cat([torch.zeros_like(norms[:1]), norms[1:]])


def channel_penalty(model: nn.Module, channels: Channels) -> Tensor:
    """Return the norms of all classes, weighted by their costs; a 0-d tensor.

    The strongest class of each layer is left alone, so that no layer vanishes.
    """
    norms = channel_norms(model, channels)
    spared = strongest(channels, norms.detach().cpu()).to(norms.device)
    return (channels.costs().to(norms) * norms.masked_fill(spared, 0.0)).sum()


def strongest(channels: Channels, norms: Tensor, share: float = 0.0) -> Tensor:
    """Return which classes are the largest that some layer gives, and class 0, (K,).

    That is one of each layer, or more where a share of its channels is more.
    """
    found = torch.zeros(channels.count, dtype=torch.bool)
    found[0] = True
    for layer in channels.layers.values():
        count = max(1, int(share * len(layer.rows)))
        found[layer.rows[norms[layer.rows].topk(count).indices]] = True
    return found


def _sums(model: nn.Module, channels: Channels) -> tuple[Tensor, Tensor]:
    """Return the sum of squares, and how many latents there are, of each class."""
    energy = numbers = torch.zeros(channels.count)
    for name, _, latent in latent_weights(model):
        layer = channels.layers.get(name)
        if layer is None:
            continue
        rows = layer.by_rows(latent).flatten(1)  # (O, ...)
        classes = layer.rows.to(rows.device)
        energy = energy.to(rows.device).index_add(0, classes, rows.square().sum(1))
        each = torch.full_like(rows[:, 0], rows.shape[1]).detach()
        numbers = numbers.to(rows.device).index_add(0, classes, each)
    return energy, numbers
