"""Channel counts become multiples, the strongest channels live."""

import pytest
import torch

from lilnetx_cli.nn.channel_counts import round_kept
from lilnetx_cli.nn.channel_prior import Channels, Layer


def layer(*rows, **options):
    return Layer(torch.tensor(rows), torch.tensor([0]), 1, **options)


def channels(*layers):
    count = 1 + max(int(one.rows.max()) for one in layers)
    return Channels(count, {f"l{n}": one for n, one in enumerate(layers)})


def mask(count, *places):
    found = torch.zeros(count, dtype=torch.bool)
    found[[0, *places]] = True
    return found


def rounded(network, multiple, *alive, norms=None):
    """Round with norms that grow with the number of the class."""
    norms = torch.arange(network.count).float() if norms is None else norms
    found = round_kept(network, mask(network.count, *alive), norms, multiple)
    return found.nonzero().flatten().tolist()[1:]


TWELVE = range(1, 13)


@pytest.mark.parametrize(
    ("alive", "left"),
    [
        (range(1, 5), range(1, 5)),  # a multiple already
        (range(1, 6), range(2, 6)),  # the weakest goes
        (range(4, 10), (*range(4, 10), 11, 12)),  # two are as near: up
        (range(1, 8), [*range(1, 8), 12]),  # the strongest comes back
        ((3,), (3, 10, 11, 12)),  # at least one multiple
        (TWELVE, TWELVE),
    ],
)
def test_counts_go_to_the_nearest_multiple(alive, left):
    assert rounded(channels(layer(*TWELVE)), 4, *alive) == list(left)


def test_a_layer_with_fewer_channels_keeps_all():
    assert rounded(channels(layer(1, 2, 3)), 8, 2) == [1, 2, 3]


def test_channels_without_weights_do_not_come_back():
    norms = torch.tensor([0.0, 0, 0, 0, 0, 5, 6, 7, 8, 9, 10])
    network = channels(layer(*range(1, 11)))
    assert rounded(network, 4, *range(6, 11), norms=norms) == [7, 8, 9, 10]
    assert rounded(network, 4, *range(8, 11), norms=norms) == [7, 8, 9, 10]
    few = torch.tensor([0.0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 10])
    assert rounded(network, 4, 9, 10, norms=few) == [9, 10]


def test_layers_that_are_added_up_are_rounded_once():
    network = channels(layer(1, 2, 3, 4), layer(4, 3, 2, 1), layer(5, 6, 7, 8))
    assert rounded(network, 2, 1, 2, 3, 5, 6) == [1, 2, 3, 4, 5, 6]


def test_a_wider_layer_rounds_around_what_a_narrower_one_decided():
    narrow, wide = layer(3, 4, 5, 6), layer(1, 2, 3, 4, 5, 6, 7, 8)
    found = rounded(channels(wide, narrow), 2, 1, 3, 4, 5, 7)
    assert found == [1, 3, 4, 5, 6, 7]
    found = rounded(channels(wide, narrow), 4, 1, 3, 4, 5)
    assert found == [3, 4, 5, 6]


def test_a_class_of_several_rows_counts_as_often():
    heads = layer(1, 1, 2, 2, 3, 3, 4, 4)
    assert rounded(channels(heads), 4, 1, 2, 3) == [1, 2, 3, 4]
    assert rounded(channels(heads), 3, 1, 2) == [1, 2, 4]  # 3 cannot be had


def test_what_must_stay_counts_and_stays():
    network = channels(layer(0, 0, 1, 2, 3))
    assert rounded(network, 4, 3) == [2, 3]


def test_grouped_convolutions_are_left_alone():
    network = channels(layer(1, 2, 3, 4, grouped=True), layer(5, 6, 7, 8))
    assert rounded(network, 4, 1, 5) == [1, 5, 6, 7, 8]


def test_what_comes_in_stays_as_it_is():
    network, alive = channels(layer(1, 2, 3, 4)), mask(5, 1)
    round_kept(network, alive, torch.arange(5.0), 4)
    assert alive.tolist() == mask(5, 1).tolist()
