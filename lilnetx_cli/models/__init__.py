"""Networks by name, built from plain values alone."""

from lilnetx_cli.models.registry import MODELS, ModelInfo, build, describe

__all__ = ["MODELS", "ModelInfo", "build", "describe"]
