"""What a training run is told: defaults, then a TOML file, then the command line."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lilnetx_cli.errors import InputError, UsageError, one_line, reason_of, suggestion
from lnx.errors import printable

# The files in the folder of a run.
MODEL, RESUME, CONFIG = "model.pt", "resume.pt", "config.toml"
METRICS, CURVES = "metrics.jsonl", "curves.png"
RUN_FILES = (MODEL, RESUME, CONFIG, METRICS, CURVES)

# Learning rates of Adam: of latents, which are relative to steps, and of plain weights.
LR, PLAIN_LR = 0.02, 0.005
# What a plain run has none of.
PLAIN_HAS_NO = ("loss", "target")

Precision = Literal["fp32", "bf16", "fp16"]
Device = Literal["auto", "cpu", "cuda", "mps"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelConfig(_Section):
    """Which network."""

    name: str = "resnet20"
    args: dict[str, int] = Field(default_factory=dict)
    pretrained: bool = False
    init: Path | None = None


class DataConfig(_Section):
    """Which images."""

    name: str = "digits"
    dir: Path | None = None
    augment: bool = True
    workers: int = Field(default=0, ge=0, le=64)


class LossConfig(_Section):
    """Weights of the penalty; each part is a mean, so they carry over between nets."""

    rate_weight: float = Field(default=0.2, ge=0)
    l2_weight: float = Field(default=0.0, ge=0)
    slice_weight: float = Field(default=0.3, ge=0)
    channel_weight: float = Field(default=0.0, ge=0)


class TargetConfig(_Section):
    """What the file is to be, in place of weights of the penalty.

    Attributes:
        size: of the whole file, in bytes.
        ratio: of the bytes of the plain network to those of the whole file.
        macs: share of the multiply-adds that is left when dead channels are cut out.
        latency: share of the time that is left then, of a batch on this machine.
        round_channels: what channel counts are multiples of where either is asked for.
    """

    size: int | None = Field(default=None, ge=1)
    ratio: float | None = Field(default=None, gt=1)
    macs: float | None = Field(default=None, gt=0, lt=1)
    latency: float | None = Field(default=None, gt=0, lt=1)
    round_channels: int = Field(default=1, ge=1, le=1024)


class TrainConfig(_Section):
    """How long, how fast, on what.

    Attributes:
        plain: whether the network is trained as it is, without latents and penalty.
        lr: where nothing is said, 0.02, or 0.005 of a plain run.
        spread: size of the latents, in quantization steps, once the steps have grown.
        first_spread: the same at the start of the run.
        growth: share of the run over which the steps grow.
        teacher_weight: share of the task loss that the outputs of the teacher make up.
        ema: share of the moving average of the weights that a step keeps.
    """

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=128, ge=2)
    lr: float = Field(default=LR, gt=0)
    plain: bool = Field(default=False, strict=True)
    decoder_lr: float = Field(default=0.005, gt=0)
    density_lr: float = Field(default=0.01, gt=0)
    spread: float | None = Field(default=None, gt=0)
    first_spread: float | None = Field(default=None, gt=0)
    growth: float = Field(default=0.4, ge=0, le=1)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    teacher: Path | None = None
    teacher_weight: float = Field(default=0.5, ge=0, le=1)
    temperature: float = Field(default=4.0, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    ema: float | None = Field(default=None, gt=0, lt=1)
    clip_grad: float | None = Field(default=None, gt=0)
    accumulate: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0, lt=1 << 31)
    precision: Precision = "fp32"
    device: Device = "auto"
    channels_last: bool = False
    compile: bool = False
    max_steps: int | None = Field(default=None, ge=1)
    track: str | None = None
    calibration_images: int = Field(default=4096, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _plain_rate(cls, values: Any) -> Any:  # noqa: ANN401
        if isinstance(values, Mapping) and values.get("plain") is True:
            return {"lr": PLAIN_LR, **values}
        return values


class RunConfig(_Section):
    """One training run."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    loss: LossConfig = LossConfig()
    target: TargetConfig = TargetConfig()
    train: TrainConfig = TrainConfig()


SECTIONS: dict[str, type[_Section]] = {
    "model": ModelConfig,
    "data": DataConfig,
    "loss": LossConfig,
    "target": TargetConfig,
    "train": TrainConfig,
}


def resolve(file: Path | None, settings: Mapping[str, Any]) -> RunConfig:
    """Merge a TOML file and settings such as {"train.epochs": 5} over the defaults.

    Of a file that is not plain itself, a plain run has no penalty, no size and no
    learning rate. Raises UsageError for unknown keys, values out of bounds and contrary
    ones, InputError for a file that is no TOML.
    """
    values = _read(file) if file is not None else {}
    if file is not None:
        _validate(values, f"{str(file)!r}: ")
    if settings.get("train.plain") is True and not _is_plain(values):
        values = _plain_part(values)
    for key, value in settings.items():
        _assign(values, key.split("."), value)
    if _is_plain(values):
        _check_plain(values)
    return _validate(values)


def as_plain(config: RunConfig) -> RunConfig:
    """Return the plain run of the same length on the same images."""
    values = _plain_part(config.model_dump(exclude_none=True))
    values["train"]["plain"] = True
    return _validate(values)


def _is_plain(values: Mapping[str, Any]) -> bool:
    section = values.get("train")
    return isinstance(section, Mapping) and section.get("plain") is True


def _plain_part(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what says something of a plain run, too: no learning rate of latents."""
    kept = {name: value for name, value in values.items() if name not in PLAIN_HAS_NO}
    if isinstance(kept.get("train"), Mapping):
        train = kept["train"].items()
        kept["train"] = {key: value for key, value in train if key != "lr"}
    return kept


def _check_plain(values: Mapping[str, Any]) -> None:
    """Raise UsageError for what a plain run has none of."""
    for name in PLAIN_HAS_NO:
        section = values.get(name)
        if isinstance(section, Mapping) and section:
            raise UsageError(
                "a plain run has no penalty and no size to aim at: leave out --plain or"
                f" {name}.{next(iter(section))}"
            )


@dataclass(frozen=True)
class Setting:
    """One setting that --set and files know, such as train.epochs.

    Attributes:
        default: what holds where nobody says otherwise; None for no value.
        choices: all that it may be, where these can be named.
    """

    default: Any
    choices: tuple[str, ...] = ()


def all_settings() -> dict[str, Setting]:
    """Return every setting by its name."""
    return {
        f"{section}.{key}": Setting(
            field.get_default(call_default_factory=True),
            get_args(field.annotation)
            if get_origin(field.annotation) is Literal
            else (),
        )
        for section, kind in SECTIONS.items()
        for key, field in kind.model_fields.items()
    }


def parse_setting(text: str) -> tuple[str, Any]:
    """Read one a.b=c of --set; c is a TOML value, or a string without quotes."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {text!r} is not of the form section.key=value")
    return key.strip(), parse_value(value)


def parse_value(text: str) -> Any:  # noqa: ANN401
    """Read a TOML value; anything else is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def to_toml(config: RunConfig) -> str:
    """Return a configuration as TOML; keys that are not set are left out."""
    left_out = set(PLAIN_HAS_NO) if config.train.plain else set()
    values = config.model_dump(mode="json", exclude_none=True, exclude=left_out)
    return tomli_w.dumps(values)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{str(file)!r} is no TOML file: {reason_of(error)}"
        ) from error


def _assign(values: dict[str, Any], path: list[str], value: Any) -> None:  # noqa: ANN401
    for part in path[:-1]:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise UsageError(f"{'.'.join(path)} is set twice, as a value and a table")
        values = inner
    values[path[-1]] = value


def _validate(values: Mapping[str, Any], where: str = "") -> RunConfig:
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise UsageError(where + _explain(error)) from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"no setting is named {printable(key)}{_meant(key)}"
    value = one_line(repr(first["input"]))
    if first["type"] == "model_type":
        inner = next(iter(SECTIONS[key].model_fields))
        return f"setting {key} is {value}, expected a table: set {key}.{inner}, ..."
    wrong = first["msg"]
    wanted = wrong.removeprefix("Input should be ")
    wrong = f": {wrong.lower()}" if wanted == wrong else f", expected {wanted}"
    return f"setting {one_line(key)} is {value}{wrong}"


def _meant(key: str) -> str:
    """Return the settings of that name in any section, or the nearest name."""
    names = list(all_settings())
    alike = [name for name in names if name.partition(".")[2] == key]
    if alike:
        return f", did you mean {' or '.join(map(repr, alike))}?"
    return suggestion(key, [*SECTIONS, *names])
