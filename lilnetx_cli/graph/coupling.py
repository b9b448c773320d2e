"""The coupled channels of a network, as the channel prior wants them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx_cli.graph.channel_graph import read_channels
from lilnetx_cli.graph.tracing import trace
from lilnetx_cli.nn.channel_prior import Channels, Layer


def coupled_channels(model: nn.Module, inputs: tuple[Any, ...]) -> Channels:
    """Return which channels of a plain network live and die together.

    `inputs` are what it is called with, in evaluation mode. Raises GraphError for a
    network that cannot be traced.
    """
    training = model.training
    model.eval()
    try:
        graph = read_channels(model, trace(model, inputs))
        with _counting(model) as macs, torch.no_grad():
            model(*inputs)
    finally:
        model.train(training)
    classes, count = _numbered(graph.roots)
    layers = {
        reader.key: Layer(
            classes[reader.outputs],
            classes[reader.inputs],
            macs.get(reader.key, 0),
        )
        for reader in graph.readers
    }
    for key in macs.keys() - layers.keys():  # depthwise: each channel reads itself
        labels = graph.axes.get((key, 0))
        if labels is not None:
            rows = classes[labels]
            layers[key] = Layer(rows, rows, macs[key], depthwise=True)
    return Channels(count, layers)


def _numbered(roots: Tensor) -> tuple[Tensor, int]:
    """Return the roots of labels numbered from 0, class 0 first, and their count."""
    used, classes = torch.unique(roots, return_inverse=True)
    return classes, len(used)


@contextmanager
def _counting(model: nn.Module) -> Iterator[dict[str, int]]:
    """Count the multiply-adds of one input in each layer while a network runs."""
    macs: dict[str, int] = {}

    def count(name: str) -> Any:  # noqa: ANN401
        def hook(layer: nn.Module, _: Any, output: Any) -> None:  # noqa: ANN401
            weight = layer._parameters.get("weight")
            if isinstance(output, Tensor) and weight is not None and weight.dim() > 1:
                axis = -1 if isinstance(layer, nn.Linear) else 1
                places = output.numel() // (len(output) * output.shape[axis])
                macs[name] = macs.get(name, 0) + places * weight.numel()

        return hook

    handles = [
        layer.register_forward_hook(count(f"{name}.weight".removeprefix(".")))
        for name, layer in model.named_modules()
    ]
    try:
        yield macs
    finally:
        for handle in handles:
            handle.remove()
