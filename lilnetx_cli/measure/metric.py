"""Numbers that a function of the user's own measures, path/file.py:function."""

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lilnetx_cli.data import Batch, EpochDataset, batches, received
from lilnetx_cli.errors import InputError, UsageError, one_line, type_of, typed_reason
from lilnetx_cli.user_code import (
    FAILURES,
    PROJECTS,
    folder_of,
    load_factory,
)

Numbers = dict[str, float | int | None]
MOST_NUMBERS = 64
LARGEST = sys.float_info.max


class Loader:
    """The batches of a data set, again each time it is gone through."""

    def __init__(self, dataset: EpochDataset, batch_size: int, workers: int) -> None:
        self.dataset = dataset
        self._batch_size = batch_size
        self._workers = workers

    def __len__(self) -> int:
        return -(-len(self.dataset) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return iter(
            received(batches(self.dataset, self._batch_size, workers=self._workers))
        )


class Metric:
    """A function (model, loader) -> dict of numbers; its file is run once."""

    def __init__(self, name: str) -> None:
        """Load path/file.py:function; raises UsageError, with a line of the file."""
        self.name = name
        self._file = str(Path(name.rpartition(":")[0]).resolve())
        try:
            self._function: Callable[[nn.Module, Loader | None], Any] = load_factory(
                name
            )
        except InputError as error:
            raise self._failed(error.__cause__ or error) from error

    def measure(self, network: nn.Module, loader: Loader | None) -> Numbers:
        """Return what the function finds of a network in evaluation mode.

        No gradients are kept, what it prints goes to stderr, NaN and numbers beyond
        floats become None. Raises UsageError, with the line of the user's file, where
        it fails, and for anything else than a mapping of names to numbers.
        """
        PROJECTS.enter(folder_of(self.name))
        try:
            with torch.no_grad(), redirect_stdout(sys.stderr):
                found = self._function(network.eval(), loader)
        except FAILURES as error:
            raise self._failed(error) from error
        network.eval()
        if not isinstance(found, Mapping) or not 0 < len(found) <= MOST_NUMBERS:
            raise UsageError(
                f"{self.name} returns {type_of(found)}, expected a dict of 1 to"
                f" {MOST_NUMBERS} names and numbers, such as {{'map': 0.31}}"
            )
        return {str(key): self._number(key, value) for key, value in found.items()}

    def _number(self, key: object, value: Any) -> float | int | None:  # noqa: ANN401
        number = value
        if not isinstance(value, (bool, int, float)) and hasattr(value, "item"):
            try:
                number = value.item()  # of numpy and of torch
            except (RuntimeError, ValueError):
                number = value
        if isinstance(number, bool):
            return int(number)
        if not isinstance(number, (int, float)):
            raise UsageError(
                f"{self.name} returns {type_of(value)} as {one_line(repr(key))},"
                " expected a number"
            )
        return number if abs(number) <= LARGEST else None  # nor is NaN

    def _failed(self, error: BaseException) -> UsageError:
        line = self._line_of(error)
        where = "" if line is None else f" in line {line}"
        return UsageError(f"{self.name} fails{where}: {typed_reason(error)}")

    def _line_of(self, error: BaseException) -> int | None:
        """Return the line of the user's file that was at work, None for another."""
        if isinstance(error, SyntaxError) and error.filename == self._file:
            return error.lineno
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame.lineno for frame in frames if frame.filename == self._file]
        return own[-1] if own else None
