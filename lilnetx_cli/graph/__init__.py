"""Which channels of a network are coupled, and what is known of them."""

from lilnetx_cli.graph.channel_graph import ChannelGraph, read_channels
from lilnetx_cli.graph.tracing import GraphError, trace

__all__ = ["ChannelGraph", "GraphError", "read_channels", "trace"]
