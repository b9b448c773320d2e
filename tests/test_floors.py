"""A module imports from lower floors only, and rooms of one floor are strangers."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Floors from the ground up. A room is a folder, or a module beside folders; inside a
# room imports are free.
LNX = (
    ("lnx.spec", "lnx.errors"),
    ("lnx.binary", "lnx.dtypes"),
    ("lnx.coding", "lnx.tensors"),
    ("lnx.parts",),
    ("lnx.read", "lnx.write", "lnx.summary"),
    ("lnx.api",),
    ("lnx",),
)
CLI = (
    ("lilnetx_cli.errors", "lilnetx_cli.metadata"),
    ("lilnetx_cli.calls",),
    ("lilnetx_cli.nn",),
    (
        "lilnetx_cli.checkpoint", "lilnetx_cli.config", "lilnetx_cli.endings",
        "lilnetx_cli.graph", "lilnetx_cli.processes", "lilnetx_cli.quantization",
        "lilnetx_cli.user_code",
    ),
    (
        "lilnetx_cli.pruning", "lilnetx_cli.data", "lilnetx_cli.export",
        "lilnetx_cli.models",
    ),
    ("lilnetx_cli.measure", "lilnetx_cli.plots"),
    ("lilnetx_cli.training", "lilnetx_cli.compression"),
    ("lilnetx_cli.api", "lilnetx_cli.integrations"),
    ("lilnetx_cli.cli",),
    ("lilnetx_cli.__main__",),
)  # fmt: skip
RANKS = {room: rank for rank, floor in enumerate((*LNX, *CLI)) for room in floor}


def room_of(module):
    """Return the room of a module, or None for one of another project."""
    while module and module not in RANKS:
        module = module.rpartition(".")[0]
    return module or None


def imports_of(source):
    """Yield the modules that a source imports, those for type checking left out."""
    tree = ast.parse(source)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in RANKS else node.module


def breaches(module, source):
    """Return the imports that do not go down."""
    own = room_of(module)
    found = [(name, room_of(name)) for name in imports_of(source)]
    return [
        name
        for name, room in found
        if room is not None and room != own and RANKS[room] >= RANKS[own]
    ]


def modules():
    """Return (module, path) of all our modules."""
    found = []
    for base, package in ((ROOT / "formats", "lnx"), (ROOT, "lilnetx_cli")):
        for path in sorted((base / package).rglob("*.py")):
            parts = list(path.relative_to(base).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            found.append((".".join(parts), path))
    return found


@pytest.mark.parametrize(("module", "path"), modules())
def test_imports_go_down(module, path):
    if module == "lilnetx_cli":  # hands out the interface lazily
        return
    assert room_of(module) is not None
    assert not breaches(module, path.read_text("utf-8"))


def test_a_breach_would_be_seen():
    assert breaches("lnx.binary.wire", "import lnx.api")
    assert breaches("lnx.read.decode", "from lnx.write.plan import make_plan")
    assert breaches("lnx.write.plan", "from lnx import read")
    assert breaches("lnx.write.plan", "from lnx.read import opening")
    assert breaches("lnx.read.opening", "import lnx")
    assert breaches("lilnetx_cli.nn.density", "from lilnetx_cli.checkpoint import pack")
    assert breaches("lnx.api", "from lilnetx_cli import nn")
    assert breaches("lnx.api", "from lilnetx_cli.nn import penalty")
    assert not breaches("lilnetx_cli.checkpoint.convert", "import lnx, torch")
    assert not breaches("lnx.read.decode", "from lnx.read.opening import Opened")


def test_lnx_has_few_floors():
    assert len(LNX) <= 7


@pytest.mark.parametrize(("module", "path"), modules())
def test_rooms_without_torch_stay_so(module, path):
    names = {name.split(".")[0] for name in imports_of(path.read_text("utf-8"))}
    if module.startswith("lnx"):
        assert names <= {"lnx", "numpy", "constriction"} | sys.stdlib_module_names
    if module.startswith("lilnetx_cli.nn"):
        assert "lnx" not in names
    if module != "lilnetx_cli.cli.console":
        assert "rich" not in names
    if module != "lnx.coding.range_coder":
        assert "constriction" not in names
