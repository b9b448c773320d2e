"""Data sets that give whole batches, the same for a seed, an epoch and an order.

Legend: B images in a batch, C channels, H x W pixels.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from lilnetx_cli.errors import InputError, LilnetxError, reason_of

Batch = tuple[Tensor, Tensor]  # images (B, C, H, W) float32, labels (B,) int64


class EpochDataset(Protocol):
    """Gives batches by sample indices; augmentation depends on seed and epoch."""

    def __len__(self) -> int: ...

    def __getitems__(self, indices: list[int]) -> Batch:
        """Return the batch of some samples."""

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Choose the augmentation of all samples for one epoch."""


@dataclass(frozen=True)
class Augmentation:
    """Random shifts by up to `shift` pixels, zero padded, and mirror images."""

    shift: int = 0
    flip: bool = False


class ArrayImages(Dataset[Batch]):
    """Images held in memory as bytes, augmented a batch at a time."""

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        mean: Sequence[float],
        deviation: Sequence[float],
        peak: float = 255.0,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.images = images  # (N, C, H, W) uint8
        self.labels = labels  # (N,) int64
        self._scale = 1 / (peak * torch.tensor(deviation)).view(-1, 1, 1)
        self._shift = (torch.tensor(mean) / torch.tensor(deviation)).view(-1, 1, 1)
        self._augmentation = augmentation
        self._offsets = torch.zeros(0, 2, dtype=torch.int64)
        self._flips = torch.zeros(0, dtype=torch.bool)

    def __len__(self) -> int:
        return len(self.images)

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Draw shift and flip of every sample."""
        if self._augmentation is None:
            return
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        count, reach = len(self), 2 * self._augmentation.shift + 1
        self._offsets = torch.randint(reach, (count, 2), generator=generator)
        flips = torch.rand(count, generator=generator) < 0.5
        self._flips = flips & self._augmentation.flip

    def __getitems__(self, indices: list[int]) -> Batch:
        """Return normalized images and labels of some samples."""
        chosen = torch.as_tensor(indices)
        images = self.images[chosen]  # (B, C, H, W)
        if len(self._offsets):
            images = self._augment(images, chosen)
        return images.float() * self._scale - self._shift, self.labels[chosen]

    def _augment(self, images: Tensor, chosen: Tensor) -> Tensor:
        if self._augmentation is None:
            raise ValueError("offsets without an augmentation")
        pad = self._augmentation.shift
        height, width = images.shape[-2:]
        across = torch.arange(width).expand(len(chosen), width)  # (B, W)
        across = torch.where(self._flips[chosen, None], width - 1 - across, across)
        columns = across + self._offsets[chosen, 1:]  # (B, W)
        rows = torch.arange(height) + self._offsets[chosen, :1]  # (B, H)
        padded = F.pad(images, (pad, pad, pad, pad))
        which = torch.arange(len(chosen))[:, None, None]
        picked = padded[which, :, rows[:, :, None], columns[:, None, :]]
        return picked.permute(0, 3, 1, 2)  # (B, H, W, C) -> (B, C, H, W)


class EpochSampler(Sampler[int]):
    """A permutation drawn from seed and epoch, from a position onward.

    `worker_seeds` seeds the processes that load data, others in each process of a run.
    """

    def __init__(self, size: int, seed: int, process: int = 0) -> None:
        self.worker_seeds = torch.Generator()
        self._process = process
        self._size = size
        self._seed = seed
        self._epoch = 0
        self._skip = 0

    def set_position(self, epoch: int, skip: int) -> None:
        """Go to an epoch, past its first samples."""
        number = (self._seed * 1_000_003 + epoch) * 1_009 + self._process
        self.worker_seeds.manual_seed(number % (1 << 62))
        self._epoch = epoch
        self._skip = skip

    def __iter__(self) -> Iterator[int]:
        number = self._seed * 1_000_003 + self._epoch + 500_009
        generator = torch.Generator().manual_seed(number)
        order = torch.randperm(self._size, generator=generator)
        yield from order[self._skip :].tolist()

    def __len__(self) -> int:
        return self._size - self._skip


def batches(
    dataset: EpochDataset,
    batch_size: int,
    *,
    sampler: Iterable[int] | None = None,
    workers: int = 0,
    worker_seeds: torch.Generator | None = None,
    drop_last: bool = False,
) -> DataLoader[Batch]:
    """Return a loader of whole batches; without a sampler in stored order.

    With workers it is to be read through `received`.
    """
    return DataLoader(
        _Sender(dataset),
        batch_size=batch_size,
        sampler=sampler,
        # Its own numbers, so that reading data draws none from the run's.
        generator=worker_seeds or torch.Generator().manual_seed(0),
        num_workers=workers,
        drop_last=drop_last,
        collate_fn=_same,
    )


def received(loader: DataLoader[Batch]) -> Iterator[Batch]:
    """Yield the batches of a loader; raises an error of its processes as it was.

    Raises InputError where a process ended without a word.
    """
    batches_left = iter(loader)
    while True:
        try:
            batch = next(batches_left)
        except StopIteration:
            return
        except RuntimeError as error:
            if not loader.num_workers or type(error) is not RuntimeError:
                raise
            raise InputError(
                f"a data-loading process ended: {reason_of(error)}; try --workers 0"
            ) from error
        if isinstance(batch, LilnetxError):
            raise batch
        yield batch


class _Sender(Dataset[Any]):
    """A data set in a process that loads it, which sends its errors as they are.

    torch would make a text of them, with a traceback in it.
    """

    def __init__(self, dataset: EpochDataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitems__(self, indices: list[int]) -> Batch | LilnetxError:
        if get_worker_info() is None:
            return self._dataset.__getitems__(indices)
        try:
            return self._dataset.__getitems__(indices)
        except LilnetxError as error:
            return error


def _same(batch: Any) -> Any:  # noqa: ANN401
    return batch
