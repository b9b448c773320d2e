"""What a run tells whoever watches it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class StepReport:
    """One step. Accuracy and losses are means over the epoch so far.

    Attributes:
        step: steps done, of `steps`.
        loss: task and penalty together.
        bits_per_weight: as in an EpochReport.
        estimated_bytes: of the whole file, None before the first estimate, and of a
            plain run.
        slice_sparsity: share of zero slices, None without slices or estimate.
        macs_share: as in an EpochReport.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    bits_per_weight: float | None
    estimated_bytes: int | None
    slice_sparsity: float | None
    macs_share: float | None


@dataclass(frozen=True)
class EpochReport:
    """One line of `metrics.jsonl`.

    Attributes:
        event: "epoch", or "final" for the network that ships.
        task_loss: mean over the epoch; None in the final line.
        bits_per_weight: of the latents as the density prices them, at the steps at
            which the penalty acts; None before the first, at the end, and of a plain
            run.
        accuracy: on the training images, or at the end on the test images.
        estimated_bytes: of the whole file, made without coding; None of a plain run.
        slice_sparsity: share of zero slices, None without latents.
        macs_share: share of the multiply-adds that living channels take, None where no
            channels are pressed.
        lr: of the latents, or of plain weights, at the end of the epoch; as scheduled,
            before fine latents learn faster.
    """

    event: str
    epoch: int
    step: int
    loss: float | None
    task_loss: float | None
    bits_per_weight: float | None
    accuracy: float
    validation_accuracy: float
    estimated_bytes: int | None
    slice_sparsity: float | None
    macs_share: float | None
    lr: float | None
    seconds: float


class Observer(Protocol):
    """Shows a run; the run itself prints nothing."""

    def on_note(self, text: str) -> None:
        """Hear what the run starts from."""

    def on_warning(self, text: str) -> None:
        """Hear what the user should not miss."""

    def on_step(self, report: StepReport) -> None:
        """Follow one step."""

    def on_epoch(self, report: EpochReport) -> None:
        """Follow one epoch."""


class Unheard:
    """The observer in all processes of a run but one."""

    def on_note(self, text: str) -> None:
        """Ignore it."""

    def on_warning(self, text: str) -> None:
        """Ignore it."""

    def on_step(self, report: StepReport) -> None:
        """Ignore it."""

    def on_epoch(self, report: EpochReport) -> None:
        """Ignore it."""
