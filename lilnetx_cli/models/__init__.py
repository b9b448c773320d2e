"""Networks by name, built from plain values alone."""

from lilnetx_cli.models.registry import (
    MODELS,
    OTHERS,
    ModelInfo,
    build,
    describe,
    fill,
)

__all__ = ["MODELS", "OTHERS", "ModelInfo", "build", "describe", "fill"]
