"""`lilnetx models`."""

from collections.abc import Mapping
from typing import Any

from lilnetx_cli.cli.console import Output
from lilnetx_cli.cli.options import Json, Quiet
from lilnetx_cli.cli.tables import wrapped

TITLE_AT = 24  # the column where titles start


def models(json: Json = False, quiet: Quiet = False) -> None:
    """List the networks and the data sets that can be named."""
    from lilnetx_cli.data import DATASETS
    from lilnetx_cli.data import OTHERS as OTHER_DATA
    from lilnetx_cli.models import MODELS, OTHERS

    out = Output(json, quiet)
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
        *(_line(entry, out.width) for entry in networks),
        "data sets",
        *(_line(entry, out.width) for entry in sets),
    )


def _line(entry: Mapping[str, Any], width: int | None) -> str:
    line = f"  {entry['name']:<{TITLE_AT - 2}}{entry['title']}"
    return wrapped(line, width, indent=TITLE_AT)
