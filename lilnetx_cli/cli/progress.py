"""Follow a run: one live bar on a terminal, one line an epoch everywhere."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from lilnetx_cli.cli.console import Output, Ticker, percent_text, size_text
from lilnetx_cli.config import RunConfig
from lilnetx_cli.data import Splits
from lilnetx_cli.training import (
    EpochReport,
    RunResult,
    StepReport,
    Stopped,
    launched,
    run_training,
)

TITLES = ("epoch", "loss", "accuracy", "validation", "whole file", "zero slices",
          "MACs left")  # fmt: skip
WIDTHS = (5, 8, 8, 10, 10, 11, 9)


class Watcher:
    """Shows the reports of a run on stderr."""

    def __init__(self, out: Output, ticker: Ticker) -> None:
        self._out = out
        self._ticker = ticker
        self._titled = False
        self._steps = 0

    def on_note(self, text: str) -> None:
        """Print what the run starts from."""
        self._out.note(text)

    def on_warning(self, text: str) -> None:
        """Print what the user should not miss."""
        self._out.warn(text)

    def on_step(self, report: StepReport) -> None:
        """Move the bar."""
        self._steps = report.steps
        facts = [f"loss {report.loss:.3f}", f"accuracy {percent_text(report.accuracy)}"]
        if report.estimated_bytes is not None:  # not of a plain run
            facts.append(size_text(report.estimated_bytes))
            facts.append(f"zero slices {percent_text(report.slice_sparsity)}")
        if report.macs_share is not None:
            facts.append(f"MACs left {percent_text(report.macs_share)}")
        self._ticker.move(
            report.step,
            total=report.steps,
            label=f"epoch {report.epoch}",
            facts=facts,
        )

    def on_epoch(self, report: EpochReport) -> None:
        """Print a line of what is kept in `metrics.jsonl`, less the final one.

        That one is the result of the verb.
        """
        if report.event == "final":
            return
        if not self._titled:
            self._out.note(_line(TITLES[: len(_cells(report))]))
            self._titled = True
        self._out.note(_line(_cells(report)))
        if report.step >= self._steps:
            self._ticker.move(report.step, label="finalizing")


def watched(
    config: RunConfig,
    splits: Splits,
    folder: Path,
    out: Output,
    *,
    resume: dict[str, Any] | None = None,
    lines: bool = True,
    last: bool = True,
) -> RunResult:
    """Train with a bar, and with a line for each epoch; Ctrl-C raises Stopped.

    After the last step it does so only if this run is not the last of several.
    """
    several = launched() > 1
    with polite_interrupt(several) as interrupt, out.progress("starting") as ticker:
        result = run_training(
            config,
            splits,
            folder,
            observer=Watcher(out if lines else Output(quiet=True), ticker),
            should_stop=interrupt,
            resume=resume,
        )
    if interrupt() and not last:
        raise Stopped
    return result


def _cells(report: EpochReport) -> tuple[str, ...]:
    cells = (
        str(report.epoch),
        "-" if report.loss is None else f"{report.loss:.3f}",
        percent_text(report.accuracy),
        percent_text(report.validation_accuracy),
        "-" if report.estimated_bytes is None else size_text(report.estimated_bytes),
        percent_text(report.slice_sparsity),
    )
    share = report.macs_share
    return cells if share is None else (*cells, percent_text(share))


def _line(cells: tuple[str, ...]) -> str:
    pairs = zip(cells, WIDTHS, strict=False)
    return "  ".join(cell.rjust(width) for cell, width in pairs)


class Interrupt:
    """Ctrl-C, asked for politely; a second one ends the process at once.

    One of several processes stops with the others: what starts them repeats signals,
    and ends those that do not stop.
    """

    def __init__(self, *, several: bool) -> None:
        self._asked = False
        self._several = several

    def __call__(self) -> bool:
        """Tell whether the run should stop."""
        return self._asked

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        del number, frame
        if self._asked and not self._several:
            raise KeyboardInterrupt
        self._asked = True


@contextmanager
def polite_interrupt(several: bool) -> Iterator[Interrupt]:
    """Turn Ctrl-C and SIGTERM into a wish while something runs."""
    interrupt = Interrupt(several=several)
    numbers = (signal.SIGINT, signal.SIGTERM)
    earlier = [signal.signal(number, interrupt.handle) for number in numbers]
    try:
        yield interrupt
    finally:
        for number, handler in zip(numbers, earlier, strict=True):
            signal.signal(number, handler)
