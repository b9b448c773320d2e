"""Networks by name, built from plain values alone."""

from lilnetx_cli.models.filling import fill
from lilnetx_cli.models.rebuild import rebuild
from lilnetx_cli.models.registry import (
    FORM,
    MODELS,
    OTHERS,
    ModelInfo,
    build,
    describe,
)

__all__ = [
    "FORM",
    "MODELS",
    "OTHERS",
    "ModelInfo",
    "build",
    "describe",
    "fill",
    "rebuild",
]
