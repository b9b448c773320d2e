"""The processes that share one run, and what they tell each other.

All of them call the same methods in the same order: each waits for the others. For a
process on its own nothing is sent, and nothing changes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from lilnetx_cli.errors import LilnetxError

NOTHING = -1  # stands for None on the way
# Where the messages of torch's CPU backend come from, which are bare RuntimeErrors.
GLOO = "/gloo/"
CPU: Final = torch.device("cpu")

ResultT = TypeVar("ResultT")


class PeerLost(LilnetxError):  # noqa: N818
    """Another process of the run ended, and this one cannot go on without it."""


@dataclass(frozen=True)
class Processes:
    """How many share the work, and which one this is.

    Attributes:
        index: of this process, from 0.
        device: on which what is sent has to be.
    """

    index: int = 0
    count: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this is the process that decides, writes and speaks."""
        return self.index == 0

    def total(self, numbers: Tensor) -> Tensor:
        """Return the sums over all processes, equal to the bit in each of them."""
        if self.count == 1:
            return numbers
        sums = numbers.to(self.device, copy=True)
        dist.all_reduce(sums)
        return sums.to(numbers.device)

    def from_first(self, find: Callable[[], int | None]) -> int | None:
        """Return what the first process finds, a number from 0 on; others wait."""
        if self.count == 1:
            return find()
        number = find() if self.first else None
        sent = torch.tensor(NOTHING if number is None else number, device=self.device)
        dist.broadcast(sent, 0)
        known = int(sent)
        return None if known == NOTHING else known

    def own_share(self, samples: Sequence[int], batch: int) -> list[int]:
        """Return the samples of every count-th batch, the own ones."""
        starts = range(self.index * batch, len(samples), self.count * batch)
        return [x for start in starts for x in samples[start : start + batch]]

    def in_turn(self, own: Sequence[ResultT]) -> list[ResultT]:
        """Return the results of all batches in their order, own ones among them."""
        if self.count == 1:
            return list(own)
        every: list[Any] = [None] * self.count
        dist.all_gather_object(every, list(own))
        longest = max(len(results) for results in every)
        rounds = range(longest)
        return [found[i] for i in rounds for found in every if i < len(found)]

    def agree(self, find: Callable[[], int]) -> bool:
        """Tell whether all processes find the same number, 0 to 2^62."""
        if self.count == 1:
            return True
        number = find()
        ends = torch.tensor([number, -number], device=self.device)
        dist.all_reduce(ends, dist.ReduceOp.MAX)
        return int(ends[0]) == -int(ends[1])

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the tensors of the first one, in place."""
        if self.count > 1:
            for tensor in tensors:
                sent = tensor.detach().contiguous()
                dist.broadcast(sent, 0)
                tensor.copy_(sent)

    def wait(self) -> None:
        """Wait until all processes have come here."""
        self.total(torch.zeros(1))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make an error of the connection to others one that says so.

        Raises PeerLost.
        """
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or not _of_connection(error):
                raise
            raise PeerLost(
                f"another of the {self.count} processes ended, so process {self.index}"
                " stops; --resume continues from the last epoch"
            ) from error


ALONE = Processes()


def processes_of(accelerator: Any) -> Processes:  # noqa: ANN401
    """Return the processes that accelerate knows of."""
    return Processes(
        accelerator.process_index, accelerator.num_processes, accelerator.device
    )


def _of_connection(error: RuntimeError) -> bool:
    if isinstance(error, dist.DistError):
        return True
    return type(error) is RuntimeError and GLOO in str(error)
