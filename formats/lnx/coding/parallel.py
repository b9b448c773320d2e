"""The range coder over batches of messages, in this process or in several."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from lnx.coding import range_coder
from lnx.coding.interrupts import inherit_no_interrupt
from lnx.coding.tables import Table
from lnx.dtypes import Symbols
from lnx.errors import LnxError

ToEncode = list[tuple[Table, Symbols]]
ToDecode = tuple[bytes, list[tuple[Table, int]]]

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor

Tag = TypeVar("Tag")
Given = TypeVar("Given")
Found = TypeVar("Found")


class Coder:
    """Codes batches, each with a tag that comes back beside its result, in order.

    With jobs above 1, batches are coded by that many processes; they start with the
    second batch, so that little work stays here. Few batches are in memory at a time.
    Raises what `range_coder` does, and LnxError where a process was killed.
    """

    def __init__(self, jobs: int = 1) -> None:
        if jobs < 1:
            raise ValueError(f"{jobs} jobs, at least 1 is expected")
        self._jobs = jobs
        self._pool: ProcessPoolExecutor | None = None
        self._thread: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def aside(self, work: Callable[[], Found]) -> Callable[[], Found]:
        """Start work in a thread, such as hashing; return a call that gives its result.

        What is started first ends first. With one job the work runs in that call.
        """
        if self._jobs == 1:
            return work
        if self._thread is None:
            from concurrent.futures import ThreadPoolExecutor

            self._thread = ThreadPoolExecutor(1)
        return self._thread.submit(work).result

    def encode(
        self, batches: Iterable[tuple[Tag, list[ToEncode]]]
    ) -> Iterator[tuple[Tag, list[bytes]]]:
        """Return the words of each message of each batch."""
        return self._run(range_coder.encode, batches)

    def decode(
        self, batches: Iterable[tuple[Tag, list[ToDecode]]]
    ) -> Iterator[tuple[Tag, list[list[Symbols]]]]:
        """Return the symbols of each run of each message of each batch."""
        return self._run(range_coder.decode, batches)

    def _run(
        self,
        work: Callable[[list[Given]], list[Found]],
        batches: Iterable[tuple[Tag, list[Given]]],
    ) -> Iterator[tuple[Tag, list[Found]]]:
        rest = iter(batches)
        head = list(islice(rest, min(self._jobs, 2)))
        if len(head) < 2:
            for tag, batch in chain(head, rest):
                yield tag, work(batch)
            return
        from concurrent.futures.process import BrokenProcessPool

        waiting: deque[tuple[Tag, Future[list[Found]]]] = deque()
        try:
            for tag, batch in chain(head, rest):
                with inherit_no_interrupt():
                    future = self._start().submit(work, batch)
                waiting.append((tag, future))
                if len(waiting) > self._jobs:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        except BrokenProcessPool as error:
            raise LnxError("a coding process was killed, is memory short?") from error

    def _start(self) -> "ProcessPoolExecutor":
        if self._pool is None:
            # Imported here: looking at a file does without processes.
            import multiprocessing
            from concurrent.futures import ProcessPoolExecutor

            # Forking a process that runs threads, as torch does, can hang.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._jobs, context)
        return self._pool


def _result(entry: "tuple[Tag, Future[list[Found]]]") -> tuple[Tag, list[Found]]:
    tag, future = entry
    return tag, future.result()
