"""What is said of a pruned network: what went, what stays, and why."""

import pytest
from torch import nn

from lilnetx_cli.cli.loading import removal_lines
from lilnetx_cli.nn.cuts import Cuts
from lilnetx_cli.pruning import Kept, Pruned

HELD = (
    Kept("layer3.2.conv2", 12, "coupled with channels in use"),
    Kept("layer1.0.conv2", 1, "coupled with channels in use"),
)


@pytest.mark.parametrize(
    ("removed", "held", "lines"),
    [
        (0, (), ["0 channels removed: none is dead"]),
        (1, (), ["1 channel removed"]),
        (
            1070,
            HELD,
            [
                "1,070 channels removed",
                "13 channels are dead or constant, but kept:",
                "  13: coupled with channels in use (layer3.2.conv2, layer1.0.conv2)",
            ],
        ),
    ],
)
def test_channels_that_stay_are_told_with_their_reason(removed, held, lines):
    pruned = Pruned(nn.Identity(), removed, 0.0, held, slicing=None, cuts=Cuts())
    assert removal_lines(pruned) == lines
