"""The verbs, put together."""

from typing import Annotated

import typer

from lilnetx_cli import __version__
from lilnetx_cli.cli.commands.compress import compress
from lilnetx_cli.cli.commands.decompress import decompress
from lilnetx_cli.cli.commands.demo import demo
from lilnetx_cli.cli.commands.evaluate import evaluate
from lilnetx_cli.cli.commands.inspect import inspect
from lilnetx_cli.cli.commands.models import models
from lilnetx_cli.cli.commands.train import train
from lilnetx_cli.cli.commands.verify import verify

app = typer.Typer(
    name="lilnetx",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"lilnetx {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show it."),
    ] = False,
) -> None:
    """Train networks to be small and fast, and ship them as .lnx files."""
    del version


for verb in (demo, train, compress, inspect, verify, decompress, evaluate, models):
    app.command()(verb)
