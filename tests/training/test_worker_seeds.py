"""Processes that load data draw numbers that depend on seed, epoch and process."""

from dataclasses import replace

import pytest
import torch

from lilnetx_cli.data import received
from lilnetx_cli.data.stream import EpochSampler
from lilnetx_cli.training.set_up import open_session


class Drawn:
    """A data set whose images are drawn where they are loaded."""

    def __len__(self):
        return 64

    def begin_epoch(self, seed, epoch):
        pass

    def __getitems__(self, indices):
        return torch.rand(len(indices), 1, 8, 8), torch.zeros(len(indices)).long()


def images(session, epoch):
    session.sampler.set_position(epoch, 0)
    return torch.cat([images for images, _ in received(session.loader)])


def test_an_epoch_is_drawn_again(tiny, digits):
    splits = replace(digits, train=Drawn())
    first, second = (open_session(tiny(data__workers=1), splits) for _ in range(2))
    earlier = images(first, 0)
    again = images(first, 1)
    assert torch.equal(again, images(second, 1))
    assert not torch.equal(again, earlier)


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_seed_epoch_and_process_draw_other_numbers(other):
    def drawn(seed, epoch, process):
        sampler = EpochSampler(10, seed, process)
        sampler.set_position(epoch, 0)
        return torch.rand(4, generator=sampler.worker_seeds)

    assert torch.equal(drawn(0, 0, 0), drawn(0, 0, 0))
    assert not torch.equal(drawn(0, 0, 0), drawn(*other))
