"""`lilnetx models`."""

from collections.abc import Mapping
from typing import Any

from lilnetx_cli.cli.options import Json, Quiet, Verbose, make_output

TITLE_AT = 24  # the column where titles start


def models(json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """List the available networks and data sets."""
    from lilnetx_cli.data import DATASETS
    from lilnetx_cli.data import OTHERS as OTHER_DATA
    from lilnetx_cli.models import MODELS, OTHERS

    out = make_output(json, quiet, verbose)
    networks = [
        {"name": name, "title": info.title, "arguments": list(info.arguments())}
        for name, info in MODELS.items()
    ]
    networks += [
        {"name": name, "title": title, "arguments": []}
        for name, title in OTHERS.items()
    ]
    sets = [{"name": name, "title": info.title} for name, info in DATASETS.items()]
    sets += [{"name": name, "title": title} for name, title in OTHER_DATA.items()]
    out.result(
        {"models": networks, "datasets": sets},
        "networks",
        *map(_line, networks),
        "data sets",
        *map(_line, sets),
        indent=TITLE_AT,
    )


def _line(entry: Mapping[str, Any]) -> str:
    return f"  {entry['name']:<{TITLE_AT - 2}}{entry['title']}"
