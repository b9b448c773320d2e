"""Pictures of a run, of several runs and of a file, drawn without a display."""

from lilnetx_cli.plots.contents import Bar, draw_contents
from lilnetx_cli.plots.curves import draw_curves
from lilnetx_cli.plots.front import Mark, draw_front

__all__ = ["Bar", "Mark", "draw_contents", "draw_curves", "draw_front"]
