"""Follow a run: one live bar on a terminal, one line an epoch elsewhere."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lilnetx_cli.cli.console import Output, Ticker, percent_text, size_text
from lilnetx_cli.training import EpochReport, StepReport


class Watcher:
    """Shows the reports of a run on stderr."""

    def __init__(self, out: Output, ticker: Ticker) -> None:
        self._out = out
        self._ticker = ticker

    def on_note(self, text: str) -> None:
        """Print what the run starts from."""
        self._out.note(text)

    def on_warning(self, text: str) -> None:
        """Print what the user should not miss."""
        self._out.warn(text)

    def on_step(self, report: StepReport) -> None:
        """Move the bar."""
        size = report.estimated_bytes
        label = (
            f"epoch {report.epoch}  loss {report.loss:.3f}"
            f"  accuracy {percent_text(report.accuracy)}"
            f"  file {'-' if size is None else size_text(size)}"
            f"  zero slices {percent_text(report.slice_sparsity)}"
        )
        self._ticker.move(report.step, label)

    def on_epoch(self, report: EpochReport) -> None:
        """Print what is kept in `metrics.jsonl`."""
        size = size_text(report.estimated_bytes)
        if report.event == "final":
            start = f"shipped: test accuracy {100 * report.accuracy:.2f} %"
        else:
            start = (
                f"epoch {report.epoch}: loss {report.loss:.3f},"
                f" accuracy {percent_text(report.accuracy)}"
            )
        self._out.note(
            f"{start}, validation {percent_text(report.validation_accuracy)},"
            f" whole file about {size},"
            f" zero slices {percent_text(report.slice_sparsity)}"
        )


class Interrupt:
    """Ctrl-C, asked for politely; a second one ends the process at once."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        """Tell whether the run should stop."""
        return self._asked

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        del number, frame
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True


@contextmanager
def polite_interrupt() -> Iterator[Interrupt]:
    """Turn Ctrl-C and SIGTERM into a wish while something runs."""
    interrupt = Interrupt()
    numbers = (signal.SIGINT, signal.SIGTERM)
    earlier = [signal.signal(number, interrupt.handle) for number in numbers]
    try:
        yield interrupt
    finally:
        for number, handler in zip(numbers, earlier, strict=True):
            signal.signal(number, handler)
