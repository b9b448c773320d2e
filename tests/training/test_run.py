import json
import re

import pytest
import torch

import lnx
from lilnetx_cli.checkpoint import load_checkpoint, pack
from lilnetx_cli.config import resolve
from lilnetx_cli.data import load_splits
from lilnetx_cli.errors import InputError, UsageError
from lilnetx_cli.measure import check_scores, measure_accuracy
from lilnetx_cli.models.registry import build_record
from lilnetx_cli.nn import penalty
from lilnetx_cli.training import Stopped, finish, loop, read_resume, run_training
from lilnetx_cli.training.reach import check_fits
from lilnetx_cli.training.state import Totals
from lilnetx_cli.training.steering import cosine
from tests.training.silent import Silent


def never():
    return False


def run(config, folder, *, stop=never, resume=None, splits=None):
    folder.mkdir(exist_ok=True)
    watcher = Silent()
    splits = splits or load_splits("digits", None)
    result = run_training(
        config, splits, folder, observer=watcher, should_stop=stop, resume=resume
    )
    return result, watcher


def metrics(folder):
    text = (folder / "metrics.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_the_learning_rate_is_told_as_scheduled(tmp_path, tiny):
    config = tiny(
        train__epochs=3, train__max_steps=None, train__batch_size=256, train__warmup=0.0
    )
    run(config, tmp_path)
    steps = metrics(tmp_path)[-1]["step"]
    for line in metrics(tmp_path)[:-1]:
        wanted = config.train.lr * cosine(line["step"] - 1, steps, 0.0)
        assert line["lr"] == pytest.approx(wanted)


def test_a_run_writes_its_files(tmp_path, tiny, digits):
    result, watcher = run(tiny(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "model.pt", "config.toml", "metrics.jsonl", "curves.png", "resume.pt",
    }  # fmt: skip
    assert result.steps == 6
    assert len(watcher.steps) == 6
    assert resolve(tmp_path / "config.toml", {}) == tiny()
    lines = metrics(tmp_path)
    assert [line["event"] for line in lines] == ["epoch", "final"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    # Every reported accuracy is of the network in model.pt.
    checkpoint = load_checkpoint(result.checkpoint)
    network = build_record(checkpoint.architecture)
    network.load_state_dict(checkpoint.state_dict, assign=True)
    measured = measure_accuracy(network, digits.test)
    assert measured.accuracy == pytest.approx(result.accuracy, abs=1e-6)
    assert measured.predictions == result.predictions
    assert checkpoint.training["accuracy"] == result.accuracy


@pytest.mark.parametrize("held", [False, True])
def test_a_run_that_fails_at_once_leaves_no_empty_folder(
    tmp_path, tiny, digits, monkeypatch, held
):
    """A folder that was there stays."""

    def fail(*_args):
        raise InputError("the loss is NaN")

    folder = tmp_path / "run"
    if held:
        folder.mkdir()
    monkeypatch.setattr(loop, "_check", fail)
    with pytest.raises(InputError):
        run_training(tiny(), digits, folder, observer=Silent(), should_stop=never)
    assert folder.exists() is held
    if held:
        assert not list(folder.iterdir())


def test_the_penalty_acts_at_every_fourth_step(tmp_path, tiny, monkeypatch):
    """Four times as hard: its mean over the steps is what was asked for."""
    seen = []

    def spy(model, **weights):
        terms = penalty(model, **weights)
        seen.append((weights["rate_weight"], float(terms.bits_per_weight.detach())))
        return terms

    monkeypatch.setattr(loop, "penalty", spy)
    result, watcher = run(tiny(), tmp_path)
    assert result.steps == 6
    assert [weight for weight, _ in seen] == [4 * tiny().loss.rate_weight] * 2
    bits = sum(bits for _, bits in seen) / 2
    assert watcher.epochs[0].bits_per_weight == pytest.approx(bits, rel=1e-6)


def test_a_loss_without_a_penalty_yet_has_that_of_the_epoch_before():
    first = Totals(steps=4, task=8.0, penalty=3.0, rated=1)
    assert first.loss == 5
    assert Totals(steps=2, task=2.0, before=first.mean_penalty).loss == 4


def test_the_last_estimate_is_the_file(tmp_path, tiny):
    result, _ = run(tiny(), tmp_path)
    size = len(lnx.dumps(pack(load_checkpoint(result.checkpoint))))
    assert abs(metrics(tmp_path)[-1]["estimated_bytes"] - size) <= 0.03 * size
    assert abs(metrics(tmp_path)[-2]["estimated_bytes"] - size) <= 0.1 * size


def test_the_shipped_network_is_folded_and_short(tmp_path, tiny):
    result, _ = run(tiny(), tmp_path)
    state = load_checkpoint(result.checkpoint).state_dict
    assert not bool(state["bn1.running_mean"].any())
    assert bool((state["bn1.running_var"] == 1).all())
    for name in ("bn1.weight", "layer2.0.bn2.bias", "fc.bias"):
        assert torch.equal(state[name], state[name].half().float())


def assert_same_model(one, other):
    first, second = (
        load_checkpoint(one / "model.pt"),
        load_checkpoint(other / "model.pt"),
    )
    for name, tensor in first.state_dict.items():
        assert torch.equal(tensor, second.state_dict[name]), name
    assert lnx.dumps(pack(first)) == lnx.dumps(pack(second))


def test_equal_seeds_give_equal_models(tmp_path, tiny):
    run(tiny(), tmp_path / "a")
    run(tiny(), tmp_path / "b")
    run(tiny(train__seed=1), tmp_path / "c")
    assert_same_model(tmp_path / "a", tmp_path / "b")
    with pytest.raises(AssertionError):
        assert_same_model(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize("after", [2, 3, 5])
def test_a_stopped_run_goes_on_to_the_bit(tmp_path, tiny, after):
    """Stopped within the first epoch, or in the second one, of three short epochs."""
    config = tiny(train__batch_size=400, train__epochs=3, train__max_steps=8)
    run(config, tmp_path / "whole")
    calls = []

    def stop():
        calls.append(1)
        return len(calls) >= after

    with pytest.raises(Stopped):
        run(config, tmp_path / "parts", stop=stop)
    assert not (tmp_path / "parts" / "model.pt").exists()
    content = read_resume(tmp_path / "parts" / "resume.pt")
    assert content["step"] == after
    run(config, tmp_path / "parts", resume=content)
    assert_same_model(tmp_path / "whole", tmp_path / "parts")
    states = [read_resume(tmp_path / x / "resume.pt") for x in ("whole", "parts")]
    for name, tensor in states[0]["model"].items():
        assert torch.equal(tensor, states[1]["model"][name]), name
    assert torch.equal(states[0]["random"], states[1]["random"])
    whole, parts = metrics(tmp_path / "whole"), metrics(tmp_path / "parts")
    for one, other in zip(whole, parts, strict=True):
        assert list(one) == list(other)
        for key in set(one) - {"seconds", "event"}:
            same = one[key] is None and other[key] is None
            assert same or one[key] == pytest.approx(other[key], rel=1e-4), key


def test_a_finished_run_resumed_ships_the_same(tmp_path, tiny):
    result, _ = run(tiny(), tmp_path)
    before = lnx.dumps(pack(load_checkpoint(result.checkpoint)))
    content = read_resume(tmp_path / "resume.pt")
    result, _ = run(tiny(), tmp_path, resume=content)
    assert lnx.dumps(pack(load_checkpoint(result.checkpoint))) == before


def test_accumulated_batches_count_as_one_step(tmp_path, tiny):
    config = tiny(train__accumulate=2, train__max_steps=3)
    result, watcher = run(config, tmp_path)
    assert result.steps == 3
    assert [report.step for report in watcher.steps] == [1, 2, 3]


def test_bfloat16_and_channels_last_train(tmp_path, tiny, digits):
    config = tiny(train__precision="bf16", train__channels_last=True)
    result, _ = run(config, tmp_path)
    checkpoint = load_checkpoint(result.checkpoint)
    assert checkpoint.state_dict["conv1.weight"].dtype == torch.float32
    # What is reported was measured in float32, whatever the steps computed in.
    network = build_record(checkpoint.architecture)
    network.load_state_dict(checkpoint.state_dict, assign=True)
    measured = measure_accuracy(network, digits.test)
    assert measured.predictions == result.predictions


def test_training_learns_and_shrinks(tmp_path, tiny):
    config = tiny(
        train__max_steps=60,
        train__batch_size=64,
        train__lr=0.02,
        loss__rate_weight=2.0,
        loss__slice_weight=3.0,
    )
    _, watcher = run(config, tmp_path)
    assert watcher.steps[-1].loss < 0.7 * watcher.steps[0].loss
    assert watcher.epochs[-1].estimated_bytes < watcher.steps[0].estimated_bytes


def test_a_loss_that_is_no_number_is_told(tmp_path, tiny):
    with pytest.raises(InputError, match="the loss is"):
        run(tiny(train__lr=1e30, train__warmup=0.0), tmp_path)


def test_an_earlier_run_stays_until_a_step_went_well(tmp_path, tiny, monkeypatch):
    def refuse(*_):
        raise InputError("no loss")

    names = ("model.pt", "config.toml", "metrics.jsonl")
    for name in names:
        (tmp_path / name).write_text("earlier")
    monkeypatch.setattr(loop, "_check", refuse)
    with pytest.raises(InputError, match="no loss"):
        run(tiny(), tmp_path)
    left = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert left == dict.fromkeys(names, "earlier")


def test_a_file_above_its_size_is_an_error(tmp_path, tiny, monkeypatch):
    check_fits(9000, 9000)
    monkeypatch.setattr(finish, "fit_size", lambda *_: (30_001, None))
    with pytest.raises(UsageError, match="30,000 bytes is out of reach"):
        run(tiny(target__size=30_000), tmp_path)
    assert not (tmp_path / "model.pt").exists()


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({}, r"returns a dict of 0, expected scores of shape \(4, 10 or more\)"),
        (torch.zeros(4, 7), r"returns float32 of shape \(4, 7\), expected scores"),
        (torch.zeros(4, dtype=torch.int64), r"returns int64 of shape \(4,\)"),
        (torch.zeros(3, 10), r"shape \(3, 10\), expected .* shape \(4, 10 or more\)"),
    ],
)
def test_outputs_that_are_no_scores(found, message):
    check_scores(torch.zeros(4, 10), 4, 10)
    with pytest.raises(InputError, match=message):
        check_scores(found, 4, 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__batch_size": 5000}, "but only 1294 are available"),
        ({"model__name": "resnet21"}, "no network is named 'resnet21'"),
        ({"model__args": {"depth": 3}}, "takes no argument 'depth'"),
        ({"model__args": {"width": 0}}, "expected a count"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, tiny, changes, message):
    with pytest.raises(UsageError, match=message):
        run(tiny(**changes), tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_devices_that_are_not_there(tmp_path, tiny):
    with pytest.raises(UsageError, match="no such device"):
        run(tiny(train__device="cuda"), tmp_path)
    with pytest.raises(UsageError, match="needs a GPU"):
        run(tiny(train__precision="fp16"), tmp_path)


FROZEN = """
from torch import nn


def make(channels, classes):
    net = nn.Sequential(
        nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, classes)
    )
    nn.init.constant_(net[0].weight, 0.123)
    net[0].requires_grad_(False)
    return net
"""


def test_frozen_layers_stay_as_they_are(tmp_path, tiny):
    (tmp_path / "net.py").write_text(FROZEN)
    config = tiny(model__name=f"{tmp_path / 'net.py'}:make")
    result, _ = run(config, tmp_path / "run")
    checkpoint = load_checkpoint(result.checkpoint)
    assert set(checkpoint.latents) == {"3.weight"}
    weight = checkpoint.state_dict["0.weight"]
    assert torch.equal(weight, torch.full_like(weight, 0.123))


OWN_LAYER = """
import torch
from torch import nn


class Mixer(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)

    def forward(self, x):
        return torch.einsum("nc,cd->nd", x.flatten(1), self.kernel)


def make(channels, classes):
    return nn.Sequential(Mixer(64 * channels, 32), nn.ReLU(), nn.Linear(32, classes))
"""


def test_weights_of_other_layers_have_latents_where_they_are_included(tmp_path, tiny):
    (tmp_path / "net.py").write_text(OWN_LAYER)
    name = f"{tmp_path / 'net.py'}:make"
    _, watcher = run(tiny(model__name=name), tmp_path / "without")
    assert any("(Mixer) are of no known type" in text for text in watcher.warnings)
    config = tiny(model__name=name, model__include=["*.kernel"])
    folder = tmp_path / "with"
    with pytest.raises(Stopped):
        run(config, folder, stop=lambda: True)
    result, watcher = run(config, folder, resume=read_resume(folder / "resume.pt"))
    assert set(load_checkpoint(result.checkpoint).latents) == {"0.kernel", "2.weight"}
    assert watcher.warnings == []
    with pytest.raises(UsageError, match="named 'kernel' to include"):
        run(tiny(model__name=name, model__include=["kernel"]), tmp_path / "wrong")


def test_a_layer_that_is_about_to_vanish_is_named_once(tmp_path, tiny):
    """Pressed far too hard, no weight goes as a whole."""
    net = tmp_path / "net.py"
    net.write_text(
        "from torch import nn\n\n\ndef make(channels, classes):\n"
        "    return nn.Sequential(nn.Conv2d(channels, 16, 3), nn.ReLU(),"
        " nn.Flatten(), nn.Linear(576, classes))\n"
    )
    config = tiny(
        model__name=f"{net}:make", loss__slice_weight=100, loss__rate_weight=100,
        train__max_steps=200, train__epochs=5, train__lr=0.1,
    )  # fmt: skip
    result, watcher = run(config, tmp_path / "run")
    (warning,) = [text for text in watcher.warnings if "0.weight" in text]
    assert re.match(r"few filters are left in 0.weight \([01] of 16\)", warning)
    for name, entry in load_checkpoint(result.checkpoint).latents.items():
        assert entry.symbols.any(), name
