"""The .lnx container: one file, one model, decoded with integers alone.

container = lnx.load("model.lnx")     every hash checked
weights = lnx.arrays("model.lnx")     numpy arrays by name
about = lnx.summary("model.lnx")      what is inside, nothing decoded
lnx.save(container, "copy.lnx")       atomic
"""

from typing import TYPE_CHECKING, Any

from lnx.dtypes import DType
from lnx.errors import (
    ContentError,
    CorruptError,
    FormatError,
    LimitError,
    LnxError,
    VersionError,
)
from lnx.parts.prefix import Sizes
from lnx.summary import Summary, TensorSummary, is_lnx, summary
from lnx.tensors.container import Alias, Container, Exact, Latent

if TYPE_CHECKING:
    from lnx.api import arrays, decode, dumps, load, loads, save, verify
    from lnx.binary.atomic import atomic_path, write_atomic
    from lnx.tensors.reconstruct import Decoded, rebuild, rebuild_all
    from lnx.write.estimate import estimate

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
    "is_lnx",
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
    "atomic_path": "binary.atomic",
    "write_atomic": "binary.atomic",
    "dumps": "api",
    "estimate": "write.estimate",
    "loads": "api",
    "arrays": "api",
    "decode": "api",
    "load": "api",
    "save": "api",
    "verify": "api",
    "Decoded": "tensors.reconstruct",
    "rebuild": "tensors.reconstruct",
    "rebuild_all": "tensors.reconstruct",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
