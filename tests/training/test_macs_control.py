"""Runs that are to end with a share of the multiply-adds, and their controller."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lilnetx_cli.checkpoint import load_checkpoint
from lilnetx_cli.errors import UsageError
from lilnetx_cli.graph.coupling import coupled_channels
from lilnetx_cli.measure.latency import Latency
from lilnetx_cli.measure.macs import count_macs
from lilnetx_cli.models.registry import build_record
from lilnetx_cli.nn import latent_weights, materialize, reparameterize
from lilnetx_cli.pruning import prune
from lilnetx_cli.training import Stopped, cutting, read_resume, steering
from lilnetx_cli.training.cutting import Gauge, chosen, smallest_share, without
from lilnetx_cli.training.macs_control import (
    AGAIN,
    BEGIN,
    CHOOSE,
    MORE,
    NEAR,
    WEIGHT,
    MacsController,
    choose_gone,
)
from lilnetx_cli.training.size_control import SizeController
from tests.nn.making import fill
from tests.training.test_run import assert_same_model, metrics, run


def test_channels_are_chosen_late_or_when_little_is_left_to_go():
    controller = MacsController(0.5)
    assert not controller.is_time(BEGIN / 2, 0.1)
    assert not controller.is_time(0.2, 0.6)
    assert controller.is_time(0.2, NEAR * controller.aim)
    assert controller.is_time(CHOOSE, 1.0)
    # Of time, the multiply-adds say too little.
    assert not MacsController(0.5, timed=True).is_time(0.2, 0.4)
    assert MacsController(0.5, timed=True).is_time(CHOOSE, 1.0)


def test_what_is_too_much_later_goes_in_a_second_choice():
    controller = MacsController(0.5)
    assert controller.aim == pytest.approx(MORE * 0.5)
    controller.settle(CHOOSE)
    controller.gone = torch.zeros(3, dtype=torch.bool)
    assert not controller.settled
    assert not controller.is_time(CHOOSE, 0.1)
    assert controller.is_time(AGAIN, 0.1)
    controller.settle(AGAIN)
    assert controller.aim == 0.5
    assert not controller.is_time(1.0, 0.6)
    assert MacsController(0.98).aim == 1
    assert MacsController(**controller.state()).settled


def test_the_size_hears_of_channels_that_are_taken_out():
    """What they take with them is not a shrinking of the file by itself."""
    model, channels = with_latents(grouped(), torch.zeros(2, 1, 8, 8))
    size = SizeController(9_000, 10_000, before=9_500)
    course = SimpleNamespace(model=model, channels=channels, controller=size)
    macs = MacsController(0.5)
    steering._steer_macs(course, macs, CHOOSE / 2, choose_half)
    assert size.before == 9_500
    steering._steer_macs(course, macs, CHOOSE, choose_half)
    assert macs.gone.any()
    assert size.before is None


def choose_half(channels, _macs):
    gone = torch.zeros(channels.count, dtype=torch.bool)
    gone[1::2] = True
    return gone


def test_nothing_more_is_chosen_where_enough_has_died():
    images = torch.zeros(2, 1, 8, 8)
    model, channels = with_latents(grouped(), images)
    gone = choose_gone(model, channels, 0.3)
    small = without(model, channels, gone)
    assert torch.equal(chosen(small, channels, 0.6, Gauge(images)), gone)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2])
def test_the_shortest_runs_end_at_their_share(steps, tmp_path, tiny, digits):
    config = tiny(target__macs=0.4, train__epochs=1, train__max_steps=steps)
    result, _ = run(config, tmp_path, splits=digits)
    assert result.macs_share <= 0.4


def test_the_prior_presses_until_channels_are_chosen():
    controller = MacsController(0.5)
    assert controller.weight(BEGIN / 2) == 0
    assert controller.weight(BEGIN) == controller.weight(CHOOSE) == WEIGHT
    assert not controller.is_time(0.2, 0.8)  # channels die under it: it lets go
    assert 0 < controller.weight(0.2) < 0.2 * WEIGHT
    controller.gone = torch.zeros(3, dtype=torch.bool)
    assert controller.weight(CHOOSE) == 0


@pytest.mark.slow
def test_a_run_ends_at_its_share_and_goes_on_to_the_bit(tmp_path, tiny, digits):
    config = tiny(target__macs=0.4, train__epochs=3, train__max_steps=12)
    result, _ = run(config, tmp_path / "whole", splits=digits)
    checkpoint = load_checkpoint(result.checkpoint)
    network = build_record(checkpoint.architecture)
    network.load_state_dict(checkpoint.state_dict)
    images = torch.zeros(2, 1, 8, 8)
    dense = count_macs(network.eval(), images).macs
    small = count_macs(prune(network, (images,)).model, images).macs
    assert small / dense == result.macs_share
    assert 0.36 < result.macs_share <= 0.4
    assert metrics(tmp_path / "whole")[-1]["macs_share"] == result.macs_share
    asked = iter([False] * 9 + [True])
    with pytest.raises(Stopped):
        run(config, tmp_path / "parts", stop=lambda: next(asked), splits=digits)
    content = read_resume(tmp_path / "parts" / "resume.pt")
    assert content["macs"]["gone"].any()
    run(config, tmp_path / "parts", resume=content, splits=digits)
    assert_same_model(tmp_path / "whole", tmp_path / "parts")


def grouped():
    """Grouped convolutions, which are cut by whole groups."""
    widths = [(1, 32, 1), (32, 64, 4), (64, 64, 1), (64, 64, 8)]
    layers = [
        layer
        for before, after, groups in widths
        for layer in (
            nn.Conv2d(before, after, 3, padding=1, groups=groups, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        )
    ]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return fill(nn.Sequential(*layers, *head))


LAST = "5.weight"


@pytest.mark.parametrize(("target", "least"), [(0.6, 19), (0.4, 12), (0.02, 1)])
def test_no_layer_keeps_far_less_than_the_others(target, least):
    """Half as much of the share as of all, where its channels are the smallest."""
    images = torch.zeros(2, 1, 8, 8)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    model, channels = with_latents(fill(network), images)
    with torch.no_grad():
        {name: latent for name, _, latent in latent_weights(model)}[LAST].mul_(0.3)
    gone = choose_gone(model, channels, target)
    kept = ~gone[channels.layers[LAST].rows]
    assert least <= int(kept.sum()) < 64
    assert channels.macs(~gone) / channels.macs(torch.ones_like(gone)) <= target


class Halves(nn.Module):
    """The halves of a split must have equally many channels, which nothing predicts."""

    def __init__(self):
        super().__init__()
        widths = {"first": (1, 32), "whole": (32, 64), "left": (32, 32),
                  "right": (32, 32)}  # fmt: skip
        for name, (before, after) in widths.items():
            self.add_module(name, nn.Conv2d(before, after, 3, padding=1, bias=False))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        left, right = self.whole(self.first(x).relu()).relu().chunk(2, 1)
        both = torch.cat([self.left(left).relu(), self.right(right).relu()], 1)
        return self.head(both.mean((2, 3)))


def with_latents(model, images):
    channels = coupled_channels(model, (images,))
    return reparameterize(model, start="random", spread=2.0), channels


def share_without(model, channels, gone, images):
    return Gauge(images).share(without(model, channels, gone))


@pytest.mark.parametrize("target", [0.7, 0.3])
def test_grouped_convolutions_lose_whole_groups(target):
    images = torch.zeros(2, 1, 8, 8)
    model, channels = with_latents(grouped(), images)
    gone = choose_gone(model, channels, target)
    every = channels.macs(torch.ones_like(gone))
    left = share_without(model, channels, gone, images)
    assert left == pytest.approx(channels.macs(~gone) / every, rel=0.02)
    assert 0.7 * target < left <= target


@pytest.mark.slow
@pytest.mark.parametrize("target", [0.5])
def test_what_is_cut_is_counted_not_predicted(target):
    images = torch.zeros(2, 1, 8, 8)
    model, channels = with_latents(fill(Halves()), images)
    predicted = choose_gone(model, channels, target)
    assert share_without(model, channels, predicted, images) > 1.02 * target
    gone = chosen(model, channels, target, Gauge(images))
    assert 0.93 * target < share_without(model, channels, gone, images) <= target


class Stuck(Gauge):
    """Measures what no choice changes."""

    def share(self, _model):
        return 0.9


def test_the_smallest_choice_is_taken_where_what_is_measured_stays_above():
    """Such as time, of which calls may take most."""
    images = torch.zeros(2, 1, 8, 8)
    model, channels = with_latents(grouped(), images)
    gone = chosen(model, channels, 0.3, Stuck(images))
    assert gone.sum() >= choose_gone(model, channels, 0.3).sum()
    with pytest.raises(UsageError, match="a share of 1e-05 of the multiply-adds"):
        chosen(model, channels, 1e-5, Stuck(images))


def test_a_share_out_of_reach_is_told_before_the_first_step(tmp_path, tiny, digits):
    with pytest.raises(UsageError, match="one channel in each prunable layer"):
        run(tiny(target__macs=1e-5), tmp_path, splits=digits)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_weight_alone_reports_the_share(tmp_path, tiny, digits):
    result, _ = run(tiny(loss__channel_weight=1.0), tmp_path, splits=digits)
    assert 0 < result.macs_share <= 1
    assert run(tiny(), tmp_path, splits=digits)[0].macs_share is None


@pytest.fixture
def clock(monkeypatch):
    """Time a network by its parameters: half of it passes whatever the network is."""

    def make(fixed):
        def measure(runs, **about):
            sizes = [run.__closure__ for run in runs]
            counts = [
                sum(p.numel() for p in cell.cell_contents.parameters())
                for cells in sizes
                for cell in cells
                if isinstance(cell.cell_contents, nn.Module)
            ]
            times = [fixed + (1 - fixed) * count / counts[0] for count in counts]
            return [
                Latency("torch", about["batch"], 1, time, time, 1) for time in times
            ]

        monkeypatch.setattr(cutting, "measure_latency", measure)

    return make


@pytest.mark.slow
def test_time_is_asked_for_and_measured(tmp_path, tiny, digits, clock):
    clock(0.5)
    config = tiny(target__latency=0.7, train__max_steps=12)
    result, watcher = run(config, tmp_path, splits=digits)
    assert 0.6 < result.time_share <= 0.7
    assert result.macs_share < 0.5
    assert not watcher.warnings


def test_time_out_of_reach_is_told_before_the_first_step(tmp_path, tiny, digits, clock):
    clock(0.8)
    with pytest.raises(UsageError, match=r"a batch takes 0\.8\d of it"):
        run(tiny(target__latency=0.7), tmp_path, splits=digits)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="cannot be combined"):
        run(tiny(target__latency=0.7, target__macs=0.5), tmp_path, splits=digits)


def test_multiples_without_a_share_are_refused(tmp_path, tiny, digits):
    with pytest.raises(UsageError, match="--round-channels needs --target-macs or"):
        run(tiny(target__round_channels=8), tmp_path, splits=digits)
    assert not list(tmp_path.iterdir())


def test_a_real_clock_times_both_networks():
    model, images = fill(Halves()), torch.zeros(2, 1, 8, 8)
    channels = coupled_channels(model, (images,))
    reparameterize(model, start="random", spread=2.0)
    share = smallest_share(model, channels, Gauge(images, timed=True))
    assert 0 < share < 1


@pytest.mark.parametrize("target", [0.6, 0.3])
def test_channels_stay_in_multiples(target):
    images = torch.zeros(2, 1, 8, 8)
    model, channels = with_latents(fill(Halves()), images)
    gone = chosen(model, channels, target, Gauge(images), multiple=8)
    for name in ("first", "left", "right"):
        rows = channels.layers[f"{name}.weight"].rows
        assert int((~gone)[rows].sum()) % 8 == 0
    small = prune(materialize(without(model, channels, gone)), (images,)).model
    widths = {name: getattr(small, name).out_channels for name in ("first", "left")}
    assert all(width % 8 == 0 for width in widths.values())
    assert Gauge(images).share(without(model, channels, gone)) <= target
