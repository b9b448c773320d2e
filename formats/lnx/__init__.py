"""The .lnx container: one file, one model, decoded with integers alone.

container = lnx.load("model.lnx")     every hash checked
weights = lnx.arrays("model.lnx")     numpy arrays by name
about = lnx.summary("model.lnx")      what is inside, nothing decoded
lnx.save(container, "copy.lnx")       atomic
"""

from typing import TYPE_CHECKING, Any

from lnx.content import Alias, Container, Exact, Latent
from lnx.errors import (
    ContentError,
    CorruptError,
    FormatError,
    LimitError,
    LnxError,
    VersionError,
)
from lnx.frame import Sizes
from lnx.spec import DType
from lnx.summary import Summary, TensorSummary, summary

if TYPE_CHECKING:
    from lnx.atomic import atomic_path, write_atomic
    from lnx.container import dumps, estimate, loads
    from lnx.files import arrays, decode, load, save, verify
    from lnx.reconstruction import Decoded, rebuild, rebuild_all

__all__ = [
    "Alias",
    "Container",
    "ContentError",
    "CorruptError",
    "DType",
    "Decoded",
    "Exact",
    "FormatError",
    "Latent",
    "LimitError",
    "LnxError",
    "Sizes",
    "Summary",
    "TensorSummary",
    "VersionError",
    "arrays",
    "atomic_path",
    "decode",
    "dumps",
    "estimate",
    "load",
    "loads",
    "rebuild",
    "rebuild_all",
    "save",
    "summary",
    "verify",
    "write_atomic",
]

# Looking at a file does without what codes: these modules wait to be asked for.
_LATER = {
    "atomic_path": "atomic",
    "write_atomic": "atomic",
    "dumps": "container",
    "estimate": "container",
    "loads": "container",
    "arrays": "files",
    "decode": "files",
    "load": "files",
    "save": "files",
    "verify": "files",
    "Decoded": "reconstruction",
    "rebuild": "reconstruction",
    "rebuild_all": "reconstruction",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value
