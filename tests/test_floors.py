"""A module imports from lower floors only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The first prefix that fits a module gives its floor.
FLOORS = [
    ("lnx.errors", 0), ("lnx.spec", 0), ("lnx.atomic", 0), ("lnx.source", 0.1),
    ("lnx.huffman", 0.1), ("lnx.deflate", 0.2), ("lnx.wire", 1), ("lnx.tables", 2),
    ("lnx.clusters", 2.5), ("lnx.lanes", 3), ("lnx.entropy", 3.05), ("lnx.content", 3),
    ("lnx.workers", 3.1), ("lnx.narrow", 3), ("lnx.records", 3.1), ("lnx.layout", 3.2),
    ("lnx.chunks", 3.3), ("lnx.header", 3.3), ("lnx.side", 3.3), ("lnx.plan", 3.4),
    ("lnx.frame", 3.4), ("lnx.reconstruction", 3.4), ("lnx.assemble", 3.4),
    ("lnx.opening", 3.5), ("lnx.reading", 3.6), ("lnx.writing", 3.6),
    ("lnx.container", 4), ("lnx.files", 5), ("lnx.summary", 5.1), ("lnx", 5.2),
    ("lilnetx_cli.errors", 6),
    ("lilnetx_cli.failures", 7), ("lilnetx_cli.config", 6.1),
    ("lilnetx_cli.factories", 6.5), ("lilnetx_cli.nn", 6),
    ("lilnetx_cli.models", 7), ("lilnetx_cli.data", 7), ("lilnetx_cli.plots", 7),
    ("lilnetx_cli.graph", 7), ("lilnetx_cli.pruning", 9),
    ("lilnetx_cli.console", 7), ("lilnetx_cli.codec", 8), ("lilnetx_cli.measure", 8),
    ("lilnetx_cli.export", 9), ("lilnetx_cli.training", 9), ("lilnetx_cli.api", 10),
    ("lilnetx_cli.commands", 11), ("lilnetx_cli.app", 12),
    ("lilnetx_cli.__main__", 13), ("lilnetx_cli", 5.5),
]  # fmt: skip


def floor_of(module):
    """Return the floor of a module, or None for one of another project."""
    for prefix, floor in FLOORS:
        if module == prefix or module.startswith(prefix + "."):
            return floor
    return None


def room_of(module):
    """Return the prefix that gives a module its floor: rooms are free inside."""
    return next(p for p, _ in FLOORS if module == p or module.startswith(p + "."))


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
                exact = any(prefix == inner for prefix, _ in FLOORS)
                yield inner if exact else node.module


def breaches(module, source):
    """Return the imports that go up."""
    own = floor_of(module)
    return [
        name
        for name in imports_of(source)
        if floor_of(name) is not None
        and room_of(name) != room_of(module)
        and floor_of(name) >= own
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
    assert not breaches(module, path.read_text("utf-8"))


def test_a_breach_would_be_seen():
    assert breaches("lnx.wire", "import lnx.container")
    assert breaches("lilnetx_cli.nn.density", "from lilnetx_cli.codec import pack")
    assert breaches("lnx.files", "from lilnetx_cli import nn")
    assert not breaches("lilnetx_cli.codec.pack", "import lnx, torch")


@pytest.mark.parametrize(("module", "path"), modules())
def test_rooms_without_torch_stay_so(module, path):
    names = {name.split(".")[0] for name in imports_of(path.read_text("utf-8"))}
    if module.startswith("lnx"):
        assert names <= {"lnx", "numpy", "constriction"} | STANDARD
    if module.startswith("lilnetx_cli.nn"):
        assert "lnx" not in names
    if module != "lilnetx_cli.console":
        assert "rich" not in names
    if module != "lnx.entropy":
        assert "constriction" not in names


STANDARD = {
    "collections", "concurrent", "contextlib", "dataclasses", "enum", "functools",
    "hashlib", "importlib", "io", "itertools", "json", "math", "multiprocessing", "os",
    "pathlib", "shutil", "signal", "stat", "struct", "tempfile", "types", "typing",
    "weakref", "zlib",
}  # fmt: skip
