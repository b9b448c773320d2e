"""The .lnx container: one file, one model, decoded with integers alone.

container = lnx.load("model.lnx")     every hash checked
weights = lnx.arrays("model.lnx")     numpy arrays by name
about = lnx.summary("model.lnx")      what is inside, nothing decoded
lnx.save(container, "copy.lnx")       atomic
"""

from lnx.atomic import atomic_path, write_atomic
from lnx.container import dumps, estimate, loads
from lnx.content import Alias, Container, Exact, Latent
from lnx.errors import (
    ContentError,
    CorruptError,
    FormatError,
    LimitError,
    LnxError,
    VersionError,
)
from lnx.files import arrays, decode, load, save, verify
from lnx.frame import Sizes
from lnx.rebuild import Decoded, rebuild, rebuild_all
from lnx.spec import DType
from lnx.summary import Summary, TensorSummary, summary

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
