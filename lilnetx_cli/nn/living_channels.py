"""Which channels of a network are alive: given by something, and read by something.

Legend: K classes of coupled channels, O rows and I columns of a layer.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.channel_prior import Channels
from lilnetx_cli.nn.latents import latent_weights

# By the name of its weight, which slices of a layer do not round to zero, (O, I).
Nonzero = Mapping[str, Tensor]


@torch.no_grad()
def nonzero_slices(model: nn.Module, channels: Channels) -> Nonzero:
    """Return which slices of each layer with latents do not round to zero, (O, I).

    Of a grouped convolution, which rows.
    """
    found: dict[str, Tensor] = {}
    for name, _, latent in latent_weights(model):
        layer = channels.layers.get(name)
        if layer is None:
            continue
        rows = layer.by_rows(latent)  # (O, I, ...)
        slices = (rows.abs() > 0.5).reshape(*rows.shape[:2], -1).any(2).cpu()
        if not layer.ungrouped:
            slices = slices.any(1, keepdim=True).expand(-1, len(layer.columns))
        found[name] = slices
    return found


def living(channels: Channels, nonzero: Nonzero, gone: Tensor | None = None) -> Tensor:
    """Return which classes live when those in `gone` are taken out, (K,) in and out.

    A channel lives while a layer gives it something from a living one, and a living
    channel reads it, through depthwise layers that are not zero. What layers without
    latents give and read, and class 0, lives.
    """
    alive = torch.ones(channels.count, dtype=torch.bool)
    if gone is not None:
        alive &= ~gone
    alive[0] = True
    ended = _ended(channels, nonzero)
    while True:
        read = _read(channels, nonzero, alive, ended)
        now = alive & _given(channels, nonzero, alive) & read
        now[0] = True
        if bool((now == alive).all()):
            return alive
        alive = now


def _ended(channels: Channels, nonzero: Nonzero) -> dict[str, Tensor]:
    """Return which classes no row of a depthwise layer lets through, (K,)."""
    found = {}
    for name, layer in channels.layers.items():
        if layer.depthwise and name in nonzero:
            found[name] = torch.ones(channels.count, dtype=torch.bool)
            found[name][layer.rows[nonzero[name].any(1)]] = False
    return found


def _given(channels: Channels, nonzero: Nonzero, alive: Tensor) -> Tensor:
    given, asked = torch.zeros_like(alive), torch.zeros_like(alive)
    for name, layer in channels.layers.items():
        if layer.depthwise:
            continue
        asked[layer.rows] = True
        slices = nonzero.get(name)
        if slices is None:
            given[layer.rows] = True
            continue
        rows = (slices & alive[layer.columns]).any(1)  # (O,)
        given[layer.rows[rows]] = True
    return given | ~asked


def _read(
    channels: Channels, nonzero: Nonzero, alive: Tensor, ended: Mapping[str, Tensor]
) -> Tensor:
    read, asked = torch.zeros_like(alive), torch.zeros_like(alive)
    for name, layer in channels.layers.items():
        if layer.depthwise:
            continue
        asked[layer.columns] = True
        slices = nonzero.get(name)
        columns = torch.ones(len(layer.columns), dtype=torch.bool)  # (I,)
        if slices is not None:
            columns = (slices & alive[layer.rows][:, None]).any(0)
        for depthwise in layer.through:
            if depthwise in ended:
                own = torch.isin(layer.columns, channels.layers[depthwise].rows)
                columns &= ~(own & ended[depthwise][layer.columns])
        read[layer.columns[columns]] = True
    return read | ~asked
