"""Print the oldest release that pyproject.toml allows of each package that lilnetx
needs, as constraints for pip: python -m tests.lowest
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
BOUND = re.compile(r"(?P<name>[\w.-]+)>=(?P<release>[\d.]+)\s*(?P<marker>;.+)?")
OWN_EXTRA = re.compile(r"lilnetx\[[\w,]+\]")


def requirements():
    """Return every requirement of the project and of its extras."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    texts = [*project["dependencies"], *(text for extra in extras for text in extra)]
    return [text for text in texts if not OWN_EXTRA.fullmatch(text)]


def pinned(requirement):
    """Turn name>=release into name==release; raises ValueError for other forms."""
    found = BOUND.fullmatch(requirement)
    if found is None:
        raise ValueError(f"{requirement!r} has no lower bound of the form name>=1.2")
    return f"{found['name']}=={found['release']}{found['marker'] or ''}"


if __name__ == "__main__":
    sys.stdout.write("".join(f"{pinned(text)}\n" for text in requirements()))
