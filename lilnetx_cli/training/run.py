"""A run and its folder: model.pt, config.toml, metrics.jsonl, curves.png, resume.pt."""

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lnx
from lilnetx_cli.checkpoint import pack, save_checkpoint
from lilnetx_cli.config import (
    CONFIG,
    CURVES,
    METRICS,
    MODEL,
    RESUME,
    RUN_FILES,
    RunConfig,
    to_toml,
)
from lilnetx_cli.data import Splits
from lilnetx_cli.errors import FileError, reason_of
from lilnetx_cli.measure.sparsity import channel_sparsity, slice_sparsity
from lilnetx_cli.nn import PlainWeightsWarning, RoundingWarning
from lilnetx_cli.training.devices import quiet_copies
from lilnetx_cli.training.finish import Finished, finish
from lilnetx_cli.training.loop import train
from lilnetx_cli.training.reach import check_reach
from lilnetx_cli.training.reports import EpochReport, Observer, Unheard
from lilnetx_cli.training.set_up import open_session
from lilnetx_cli.training.sizes import Sizes
from lilnetx_cli.training.state import Session, restore_session
from lilnetx_cli.training.steering import shipping_weights
from lilnetx_cli.training.tracking import (
    check_tracker,
    end_tracker,
    start_tracker,
    track,
)

# Times the share that was asked for, above which a word is due; clocks are not exact.
MOST_MACS, MOST_TIME = 1.02, 1.1
TOLD = PlainWeightsWarning, RoundingWarning  # by the observer


@dataclass(frozen=True)
class RunResult:
    """What a finished run reports; bytes are those of the whole file, estimated.

    They are None of a plain run, and so is the share of zero slices.
    """

    checkpoint: Path
    epochs: int
    steps: int
    accuracy: float
    validation_accuracy: float
    estimated_bytes: int | None
    slice_sparsity: float | None
    channel_sparsity: float | None
    macs_share: float | None
    time_share: float | None
    seconds: float
    predictions: str

    @property
    def seconds_per_step(self) -> float:
        """Wall time of a step, evaluation and estimates included."""
        return self.seconds / self.steps


def run_training(
    config: RunConfig,
    splits: Splits,
    folder: Path,
    *,
    observer: Observer,
    should_stop: Callable[[], bool],
    resume: dict[str, Any] | None = None,
) -> RunResult:
    """Train, finalize and write the files of a run into a folder, made if missing.

    `resume` is what `read_resume` gave. Raises Stopped when asked to stop, and what
    the steps of a run raise.
    """
    check_tracker(config.train.track)
    session, told = _opened(config, splits, resume)
    main = session.processes.first
    observer = observer if main else Unheard()
    _tell_start(session, told, observer)
    lines = _Lines(session, folder / METRICS)
    if resume is not None:
        changed = restore_session(session, resume)
        if changed is not None:
            observer.on_note(changed)
        lines.take_earlier()

    def begin() -> None:
        """Replace what an earlier run left, now that this one works."""
        if main:
            _make_files(config, folder, fresh=resume is None)
            lines.write()

    with _made(folder), session.processes.together(), quiet_copies():
        start_tracker(session.accelerator, config, folder)
        seconds = train(
            session,
            observer=observer,
            sizes=Sizes(session),
            resume_path=folder / RESUME,
            record=lines.add,
            should_stop=should_stop,
            begin=begin,
        )
        with shipping_weights(session):
            final = finish(session)
    _check_share(config.target.macs, final.macs_share, "multiply-adds", observer)
    _check_share(config.target.latency, final.time_share, "time", observer)
    result = _result(session, final, folder / MODEL, seconds)
    if main:
        save_checkpoint(final.checkpoint, result.checkpoint)
    report = _last_report(result)
    lines.add(report)
    if main:
        from lilnetx_cli.plots import draw_curves  # matplotlib takes a second

        draw_curves(lines.lines, folder / CURVES)
    observer.on_epoch(report)
    end_tracker(session.accelerator)
    return result


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and take it away again where an error leaves it empty."""
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if new:
            with suppress(OSError):
                folder.rmdir()
        raise


@dataclass
class _Lines:
    """The lines of metrics.jsonl, which the first process writes."""

    session: Session
    path: Path
    lines: list[dict[str, Any]] = field(default_factory=list)

    def take_earlier(self) -> None:
        """Go on from those of a run that is resumed."""
        self.lines = _earlier_lines(self.path, self.session)

    def add(self, report: EpochReport) -> None:
        """Take a report, and send it to the tracker."""
        self.lines.append(asdict(report))
        track(self.session.accelerator, report)
        if self.session.processes.first:
            self.write()

    def write(self) -> None:
        """Write all of them."""
        _write_text("".join(json.dumps(line) + "\n" for line in self.lines), self.path)


def _make_files(config: RunConfig, folder: Path, *, fresh: bool) -> None:
    """Write the settings; a fresh run takes away the files of an earlier one."""
    for name in RUN_FILES if fresh else ():
        (folder / name).unlink(missing_ok=True)
    _write_text(to_toml(config), folder / CONFIG)


def _result(
    session: Session, final: Finished, checkpoint: Path, seconds: float
) -> RunResult:
    plain, record = session.config.train.plain, final.checkpoint.training or {}
    return RunResult(
        checkpoint=checkpoint,
        epochs=session.epochs_begun,
        steps=session.step,
        accuracy=record["accuracy"],
        validation_accuracy=record["validation_accuracy"],
        estimated_bytes=None if plain else lnx.estimate(pack(final.checkpoint)).file,
        slice_sparsity=slice_sparsity(final.checkpoint.latents.values()),
        macs_share=final.macs_share,
        time_share=final.time_share,
        channel_sparsity=channel_sparsity(final.checkpoint.state_dict),
        seconds=round(seconds, 3),
        predictions=final.predictions,
    )


def _last_report(result: RunResult) -> EpochReport:
    return EpochReport(
        event="final",
        epoch=result.epochs,
        step=result.steps,
        loss=None,
        task_loss=None,
        bits_per_weight=None,
        accuracy=result.accuracy,
        validation_accuracy=result.validation_accuracy,
        estimated_bytes=result.estimated_bytes,
        slice_sparsity=result.slice_sparsity,
        macs_share=result.macs_share,
        lr=None,
        seconds=result.seconds,
    )


def _opened(
    config: RunConfig, splits: Splits, resume: dict[str, Any] | None
) -> tuple[Session, list[str]]:
    """Return a session and what it warns of, for the observer to show."""
    with warnings.catch_warnings(record=True) as caught:
        for kind in TOLD:
            warnings.simplefilter("always", kind)
        form = None if resume is None else resume.get("form")
        session = open_session(config, splits, fresh=resume is None, form=form)
    if resume is None:
        check_reach(session)
    told = [str(x.message) for x in caught if x.category in TOLD]
    for other in caught:
        if other.category not in TOLD:
            warnings.warn_explicit(
                other.message, other.category, other.filename, other.lineno
            )
    return session, told


def _tell_start(session: Session, told: list[str], observer: Observer) -> None:
    if session.started is not None:
        observer.on_note(session.started)
    for text in told:
        observer.on_warning(text)


def _check_share(
    target: float | None, share: float | None, what: str, observer: Observer
) -> None:
    """Warn of a network that takes more of something than was asked for."""
    most = MOST_MACS if what == "multiply-adds" else MOST_TIME
    if target is None or (share is not None and share <= most * target):
        return
    left = "nothing can be cut out" if share is None else f"{share:.2g} is left"
    observer.on_warning(
        f"the target is {target:g} of the {what}, but {left}:"
        " lilnetx evaluate --pruned lists layers that keep dead channels"
    )


def _earlier_lines(path: Path, session: Session) -> list[dict[str, Any]]:
    """Return the lines of a run up to the step from which it goes on.

    Steps in them may be those of another number of processes.
    """
    if not path.exists():
        return []
    try:
        text = path.read_text("utf-8")
        lines = [json.loads(line) for line in text.splitlines() if line]
    except ValueError as error:
        raise FileError(f"{str(path)!r} is damaged: {reason_of(error)}") from error
    whole, step = session.step // session.steps_per_epoch, session.step
    epochs = [line for line in lines if line["event"] == "epoch"]
    return [x for x in epochs if x["epoch"] <= whole or x["step"] == step]


def _write_text(text: str, path: Path) -> None:
    lnx.write_atomic(text.encode(), path)
