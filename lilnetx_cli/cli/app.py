"""The verbs, put together."""

import re
from collections.abc import Sequence
from pathlib import Path
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
from lilnetx_cli.cli.config_help import ConfigCommand
from lilnetx_cli.cli.exit_codes import INTERRUPTED, prepare_streams
from lilnetx_cli.cli.options import UNITS
from lilnetx_cli.errors import UsageError

SIZES = ("--target-size", "--max-size")
NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")
# What an option means that stands alone; typer knows no values that may be left out.
ALONE = {"--resume": "auto"}

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
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Train networks to be small and fast, and ship them as .lnx files."""
    del version


for verb in (demo, train, compress, inspect, verify, decompress, evaluate, models):
    app.command(cls=ConfigCommand if verb is train else None)(verb)


def start(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; raises whatever goes wrong."""
    prepare_streams()
    check_words(arguments)
    args = complete(arguments) or ["--help"]
    result = app(args=args, standalone_mode=False, prog_name="lilnetx")
    if result == INTERRUPTED:
        raise KeyboardInterrupt  # which typer has made an exit code
    return result if isinstance(result, int) else 0


def check_words(arguments: Sequence[str]) -> None:
    """Raise UsageError for a size in two words, of which the second would be a file."""
    words = [word for argument in arguments for word in _parts(argument)]
    for option, number, unit in zip(words, words[1:], words[2:], strict=False):
        is_size = option in SIZES and NUMBER.fullmatch(number) is not None
        if is_size and unit and unit.lower() in UNITS and not Path(unit).exists():
            raise UsageError(
                f"{option} {number} {unit}: write it as one word, {number}{unit}"
            )


def _parts(argument: str) -> list[str]:
    """Return an option of sizes and its value, which one argument may hold both."""
    name, _, value = argument.partition("=")
    return [name, value] if name in SIZES and value else [argument]


def complete(arguments: Sequence[str]) -> list[str]:
    """Give options that stand alone the value that they then mean."""
    completed = []
    for argument, following in zip(arguments, [*arguments, "-"][1:], strict=True):
        completed.append(argument)
        if argument in ALONE and following.startswith("-"):
            completed.append(ALONE[argument])
    return completed
