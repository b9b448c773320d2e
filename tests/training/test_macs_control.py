"""Runs that are to end with a share of the multiply-adds, and their controller."""

import pytest
import torch

from lilnetx_cli.checkpoint import load_checkpoint
from lilnetx_cli.errors import UsageError
from lilnetx_cli.measure.macs import count_macs
from lilnetx_cli.models.registry import build_record
from lilnetx_cli.pruning import prune
from lilnetx_cli.training import Stopped, read_resume
from lilnetx_cli.training.macs_control import CHOOSE, SPARE, WEIGHT, MacsController
from tests.training.test_run import assert_same_model, metrics, run


def test_the_planned_share_falls_to_a_little_above_the_target():
    controller = MacsController(0.5)
    assert controller.planned(0.0) == controller.planned(0.1) == 1
    assert 0.75 < controller.planned(0.35) < 0.8
    assert controller.planned(CHOOSE) == pytest.approx(SPARE * 0.5)


def test_the_prior_presses_harder_while_too_much_is_left():
    controller = MacsController(0.5)
    controller.update(0.05, 1.0)
    assert controller.weight == 0
    controller.update(0.1, 1.0)
    assert controller.weight == pytest.approx(WEIGHT)
    weights = []
    for progress in (0.2, 0.3, 0.4):
        controller.update(progress, 0.95)
        weights.append(controller.weight)
    assert weights == sorted(weights)
    assert weights[-1] > 2 * WEIGHT
    controller.update(0.5, 0.3)
    assert controller.weight < weights[-1]
    controller.gone = torch.zeros(3, dtype=torch.bool)
    assert controller.weight == 0


def test_a_run_ends_at_its_share_and_goes_on_to_the_bit(tmp_path, tiny, digits):
    config = tiny(target__macs=0.4, train__epochs=3, train__max_steps=12)
    result, _ = run(config, tmp_path / "whole", splits=digits)
    checkpoint = load_checkpoint(result.checkpoint)
    network = build_record(checkpoint.architecture)
    network.load_state_dict(checkpoint.state_dict)
    images = torch.zeros(2, 1, 8, 8)
    dense = count_macs(network.eval(), images).macs
    small = count_macs(prune(network, (images,)).model, images).macs
    assert small / dense == pytest.approx(result.macs_share, rel=0.01)
    assert 0.36 < result.macs_share <= 0.4
    assert metrics(tmp_path / "whole")[-1]["macs_share"] == result.macs_share
    asked = iter([False] * 9 + [True])
    with pytest.raises(Stopped):
        run(config, tmp_path / "parts", stop=lambda: next(asked), splits=digits)
    content = read_resume(tmp_path / "parts" / "resume.pt")
    assert content["macs"]["gone"].any()
    run(config, tmp_path / "parts", resume=content, splits=digits)
    assert_same_model(tmp_path / "whole", tmp_path / "parts")


def test_a_share_out_of_reach_is_told_before_the_first_step(tmp_path, tiny, digits):
    with pytest.raises(UsageError, match="one channel in each layer"):
        run(tiny(target__macs=1e-5), tmp_path, splits=digits)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_weight_alone_reports_the_share(tmp_path, tiny, digits):
    result, _ = run(tiny(loss__channel_weight=1.0), tmp_path, splits=digits)
    assert 0 < result.macs_share <= 1
    assert run(tiny(), tmp_path, splits=digits)[0].macs_share is None
