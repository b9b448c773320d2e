"""What a training run is told, and the files in its folder."""

from lilnetx_cli.config.sections import (
    CONFIG,
    CURVES,
    METRICS,
    MODEL,
    RESUME,
    RUN_FILES,
    Precision,
    RunConfig,
    TrainConfig,
)
from lilnetx_cli.config.settings import (
    Setting,
    all_settings,
    as_plain,
    parse_setting,
    resolve,
    to_toml,
)

__all__ = [
    "CONFIG",
    "CURVES",
    "METRICS",
    "MODEL",
    "RESUME",
    "RUN_FILES",
    "Precision",
    "RunConfig",
    "Setting",
    "TrainConfig",
    "all_settings",
    "as_plain",
    "parse_setting",
    "resolve",
    "to_toml",
]
