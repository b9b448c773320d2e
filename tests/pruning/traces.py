"""Traces that tests share: what torch.export sees of a network is not its weights."""

from dataclasses import replace

from lilnetx_cli.graph import trace
from lilnetx_cli.graph.names import all_tensors
from lilnetx_cli.graph.recorder import shapes_of
from lilnetx_cli.pruning import tried

_KNOWN = {}


def share(monkeypatch, network):
    """Let `prune` trace networks of one name once; they differ in weights alone."""

    def shared(model, inputs, dead_ends=frozenset()):
        key = network, shapes_of(inputs), dead_ends
        if key not in _KNOWN:
            _KNOWN[key] = trace(model, inputs, dead_ends)
        known, state = _KNOWN[key], dict(all_tensors(model))
        values = {name: state[name].detach() for name in known.values}
        return replace(known, values=values)

    monkeypatch.setattr(tried, "trace", shared)
