"""What a training run can be told, section by section, with its defaults."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

# The files in the folder of a run.
MODEL, RESUME, CONFIG = "model.pt", "resume.pt", "config.toml"
METRICS, CURVES = "metrics.jsonl", "curves.png"
RUN_FILES = (MODEL, RESUME, CONFIG, METRICS, CURVES)

# Learning rates of Adam: of latents, which are relative to steps, at first and where
# weights are trained or channels go; and of plain weights.
LR, CAREFUL_LR, PLAIN_LR = 0.03, 0.02, 0.005

Precision = Literal["fp32", "bf16", "fp16"]
Device = Literal["auto", "cpu", "cuda", "mps"]


class Section(BaseModel):
    """Values that are checked, and stay as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelConfig(Section):
    """Which network.

    Attributes:
        include: names of weights that get latents beside those of known layers.
    """

    name: str = "resnet20"
    args: dict[str, int] = Field(default_factory=dict)
    pretrained: bool = False
    init: Path | None = None
    include: list[str] = Field(default_factory=list)

    @property
    def trained(self) -> bool:
        """Whether the run starts from trained weights."""
        return self.pretrained or self.init is not None


class DataConfig(Section):
    """Which images."""

    name: str = "digits"
    dir: Path | None = None
    augment: bool = True
    workers: int = Field(default=0, ge=0, le=64)


class LossConfig(Section):
    """Weights of the penalty; each part is a mean, so they carry over between nets."""

    rate_weight: float = Field(default=0.2, ge=0)
    l2_weight: float = Field(default=0.0, ge=0)
    slice_weight: float = Field(default=0.3, ge=0)
    channel_weight: float = Field(default=0.0, ge=0)


class TargetConfig(Section):
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


class TrainConfig(Section):
    """How long, how fast, on what.

    Attributes:
        plain: whether the network is trained as it is, without latents and penalty.
        lr: of latents, 0.03 where nothing is said, 0.02 from trained weights or where
            channels go; of all that a plain run has, 0.005.
        norm_lr: of norms, biases and other weights without latents; where nothing is
            said a third of `lr`, and `lr` from trained weights or where channels go.
        spread: size of the latents, in quantization steps, once the steps have grown.
        first_spread: the same at the start of the run.
        growth: share of the run over which the steps grow.
        teacher_model: the network of the teacher, where its file does not say; its
            arguments are `teacher_args`.
        teacher_weight: share of the task loss that the outputs of the teacher make up.
        ema: share of the moving average of the weights that a step keeps.
    """

    epochs: int = Field(default=20, ge=1, le=1_000_000_000)
    batch_size: int = Field(default=128, ge=2)
    lr: float = Field(default=LR, gt=0)
    plain: bool = Field(default=False, strict=True)
    norm_lr: float | None = Field(default=None, gt=0)
    decoder_lr: float = Field(default=0.005, gt=0)
    density_lr: float = Field(default=0.01, gt=0)
    spread: float | None = Field(default=None, gt=0)
    first_spread: float | None = Field(default=None, gt=0)
    growth: float = Field(default=0.4, ge=0, le=1)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    teacher: Path | None = None
    teacher_model: str | None = None
    teacher_args: dict[str, int] = Field(default_factory=dict)
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


class RunConfig(Section):
    """One training run."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    loss: LossConfig = LossConfig()
    target: TargetConfig = TargetConfig()
    train: TrainConfig = TrainConfig()

    @property
    def careful(self) -> bool:
        """Whether a run starts trained or loses channels: both want lower rates."""
        return _careful(self.model, self.loss, self.target)

    @model_validator(mode="before")
    @classmethod
    def _careful_rate(cls, values: Any) -> Any:  # noqa: ANN401
        train = values.get("train", {}) if isinstance(values, Mapping) else None
        if not isinstance(train, Mapping) or train.get("plain") is True:
            return values
        try:
            careful = _careful(
                ModelConfig.model_validate(values.get("model", {})),
                LossConfig.model_validate(values.get("loss", {})),
                TargetConfig.model_validate(values.get("target", {})),
            )
        except ValidationError:  # which is told of the whole
            return values
        return {**values, "train": {"lr": CAREFUL_LR, **train}} if careful else values


def _careful(model: ModelConfig, loss: LossConfig, target: TargetConfig) -> bool:
    channels_go = target.macs or target.latency or loss.channel_weight
    return model.trained or bool(channels_go)


SECTIONS: dict[str, type[Section]] = {
    "model": ModelConfig,
    "data": DataConfig,
    "loss": LossConfig,
    "target": TargetConfig,
    "train": TrainConfig,
}
