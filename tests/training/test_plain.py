"""Runs without latents: the network to compare with."""

import json

import pytest
import torch

import lnx
from lilnetx_cli.checkpoint import load_checkpoint, pack
from lilnetx_cli.config import as_plain, resolve
from lilnetx_cli.errors import UsageError
from lilnetx_cli.measure import measure_accuracy
from lilnetx_cli.models.registry import build_record
from lilnetx_cli.training import Stopped, read_resume, run_training
from lilnetx_cli.training.set_up import norm_rate, open_session
from tests.training.conftest import TINY
from tests.training.silent import Silent


def run(config, digits, folder, *, stop=lambda: False, resume=None):
    watcher = Silent()
    result = run_training(
        config, digits, folder, observer=watcher, should_stop=stop, resume=resume
    )
    return result, watcher


def lines_of(folder):
    return [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_plain_run_ships_a_plain_network(tmp_path, tiny, digits):
    config = tiny(train__plain=True)
    result, watcher = run(config, digits, tmp_path)
    checkpoint = load_checkpoint(result.checkpoint)
    assert not checkpoint.latents
    assert not checkpoint.decoders
    network = build_record(checkpoint.architecture)
    network.load_state_dict(checkpoint.state_dict)
    measured = measure_accuracy(network, digits.test)
    assert measured.predictions == result.predictions
    assert checkpoint.training["accuracy"] == pytest.approx(result.accuracy, abs=1e-6)
    # Norms stay as they were trained: neither folded nor rounded.
    assert bool(checkpoint.state_dict["bn1.running_mean"].any())
    assert result.estimated_bytes is None
    assert result.slice_sparsity is None
    assert watcher.steps[-1].bits_per_weight is None
    for line in lines_of(tmp_path):
        assert line["bits_per_weight"] is line["estimated_bytes"] is None
    assert lines_of(tmp_path)[0]["loss"] == lines_of(tmp_path)[0]["task_loss"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert resolve(tmp_path / "config.toml", {}) == config


def test_a_plain_run_learns(tmp_path, tiny, digits):
    config = tiny(train__plain=True, train__batch_size=64, train__max_steps=40)
    _, watcher = run(config, digits, tmp_path)
    assert watcher.steps[-1].accuracy > watcher.steps[0].accuracy + 0.3


def test_a_plain_run_goes_on_to_the_bit(tmp_path, tiny, digits):
    config = tiny(train__plain=True)
    run(config, digits, tmp_path / "whole")
    with pytest.raises(Stopped):
        run(config, digits, tmp_path / "parts", stop=lambda: True)
    content = read_resume(tmp_path / "parts" / "resume.pt")
    assert content["step"] == 1
    run(config, digits, tmp_path / "parts", resume=content)
    whole, parts = (
        load_checkpoint(tmp_path / name / "model.pt").state_dict
        for name in ("whole", "parts")
    )
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_a_plain_network_starts_both_kinds_of_run(tmp_path, tiny, digits):
    config = tiny(train__plain=True, train__channels_last=True)
    result, _ = run(config, digits, tmp_path)
    state = load_checkpoint(result.checkpoint).state_dict
    again = {"model__init": result.checkpoint}
    plain = open_session(tiny(train__plain=True, **again), digits)
    assert plain.started.startswith("all ")
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert open_session(tiny(**again), digits).started.startswith("all ")


def test_a_network_of_a_lilnetx_run_starts_a_plain_one(tmp_path, tiny, digits):
    result, _ = run(tiny(), digits, tmp_path)
    state = load_checkpoint(result.checkpoint).state_dict
    config = tiny(train__plain=True, model__init=result.checkpoint)
    model = open_session(config, digits).model
    for name in ("layer1.0.conv1.weight", "fc.weight"):
        assert torch.equal(model.state_dict()[name], state[name]), name
    own = lnx.dumps(pack(load_checkpoint(result.checkpoint)))
    (tmp_path / "model.lnx").write_bytes(own)
    config = tiny(train__plain=True, model__init=tmp_path / "model.lnx")
    again = open_session(config, digits).model.state_dict()
    assert torch.equal(again["fc.weight"], state["fc.weight"])


@pytest.mark.parametrize(
    "key",
    ["target.size", "target.ratio", "loss.rate_weight", "loss.slice_weight"],
)
def test_a_plain_run_has_no_penalty_and_no_size(key):
    with pytest.raises(UsageError, match=f"leave out --plain or the setting {key}$"):
        resolve(None, {**TINY, "train.plain": True, key: 2})


def test_the_learning_rate_follows(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[train]\nlr = 0.03\nepochs = 7\n[target]\nsize = 9000\n")
    assert resolve(file, {}).train.lr == 0.03
    plain = resolve(file, {"train.plain": True})
    assert (plain.train.lr, plain.train.epochs, plain.target.size) == (0.005, 7, None)
    assert as_plain(resolve(file, {})) == plain
    given = resolve(file, {"train.plain": True, "train.lr": 0.1})
    assert given.train.lr == 0.1
    file.write_text("[train]\nplain = true\nlr = 0.03\n")
    assert resolve(file, {}).train.lr == 0.03
    assert resolve(None, {}).train.lr == 0.03


@pytest.mark.parametrize(
    ("settings", "latents", "norms"),
    [
        ({}, 0.03, 0.01),
        ({"target.size": 9000}, 0.03, 0.01),
        ({"target.macs": 0.5}, 0.02, 0.02),
        ({"target.latency": 0.5}, 0.02, 0.02),
        ({"loss.channel_weight": 1.0}, 0.02, 0.02),
        ({"target.macs": 0.5, "train.lr": 0.03}, 0.03, 0.03),
        ({"model.init": "dense.pt"}, 0.02, 0.02),
        ({"model.pretrained": True}, 0.02, 0.02),
        ({"model.init": "dense.pt", "train.plain": True}, 0.005, 0.005),
        ({"model.init": "dense.pt", "train.lr": 0.1}, 0.1, 0.1),
        ({"model.pretrained": "no"}, 0.03, 0.01),
        ({"train.norm_lr": 0.004}, 0.03, 0.004),
    ],
)
def test_rates_suit_the_start(settings, latents, norms):
    config = resolve(None, settings)
    assert config.train.lr == latents
    assert norm_rate(config) == pytest.approx(norms)


def test_a_plain_run_has_one_rate(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[train]\nlr = 0.1\nnorm_lr = 0.1\n")
    plain = resolve(file, {"train.plain": True}).train
    assert (plain.lr, plain.norm_lr) == (0.005, None)
    with pytest.raises(UsageError, match="one rate"):
        resolve(None, {"train.plain": True, "train.norm_lr": 0.1})
