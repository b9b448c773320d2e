"""Take dead channels out of a network, exactly, and make sure of it."""

from lilnetx_cli.pruning.kept import Kept, kept_lines
from lilnetx_cli.pruning.prune import Pruned, prune

__all__ = ["Kept", "Pruned", "kept_lines", "prune"]
