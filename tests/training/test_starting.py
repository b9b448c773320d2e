"""Runs that start from trained weights."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

import lilnetx_cli as lilnetx
import lnx
from lilnetx_cli.checkpoint import capture, load_checkpoint, pack, save_checkpoint
from lilnetx_cli.checkpoint.model_pt import put_latents, take_latents
from lilnetx_cli.config import resolve
from lilnetx_cli.data import batches, load_splits
from lilnetx_cli.errors import InputError, UsageError
from lilnetx_cli.measure import measure_accuracy
from lilnetx_cli.models import build
from lilnetx_cli.models.pretrained import pretrained_state, start_from
from lilnetx_cli.nn import latent_weights, reparameterize
from lilnetx_cli.nn.batch_norm import fold_batch_norms, unfold_batch_norms
from lilnetx_cli.nn.latents import latent_groups
from lilnetx_cli.training import run_training
from lilnetx_cli.training.finalize import finalize
from lilnetx_cli.training.set_up import open_session
from tests.nn.making import fill, filled, lively, numbers
from tests.training.silent import Silent

DIGITS = {
    "data.name": "digits", "train.device": "cpu", "train.epochs": 4,
    "train.batch_size": 64, "train.calibration_images": 128,
}  # fmt: skip


WEIGHTS = {"loss.rate_weight": 0.5, "loss.slice_weight": 0.5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digits):
    """A run of a few epochs on the digits."""
    folder = tmp_path_factory.mktemp("first")
    config = resolve(None, {**DIGITS, **WEIGHTS})
    result = run_training(
        config, digits, folder, observer=Silent(), should_stop=lambda: False
    )
    assert result.accuracy > 0.7
    return result


@pytest.fixture(scope="module", params=["pt", "lnx"])
def start(request, trained, tmp_path_factory):
    """The network of the run as a file of either kind, and what is in it."""
    checkpoint = load_checkpoint(trained.checkpoint)
    if request.param == "pt":
        return trained.checkpoint, checkpoint
    path = tmp_path_factory.mktemp("start") / "model.lnx"
    lnx.save(pack(checkpoint), path)
    return path, checkpoint


def open_from(path, **changes):
    config = resolve(None, {**DIGITS, "model.init": path, **changes})
    return open_session(config, load_splits("digits", None))


def assert_same_latents(latents, decoders, checkpoint):
    assert latents.keys() == checkpoint.latents.keys()
    for name, entry in checkpoint.latents.items():
        own = latents[name]
        assert torch.equal(own.symbols.int(), entry.symbols.int()), name
        one, other = decoders[own.decoder], checkpoint.decoders[entry.decoder]
        assert torch.equal(one, other)


def test_a_run_starts_where_another_ended(trained, start, digits):
    session = open_from(start[0])
    assert session.started.startswith("all ")
    now = measure_accuracy(session.model, digits.test).accuracy
    assert now > trained.accuracy - 0.02
    session.model.train()  # as it goes on: batch norms with statistics of the batch
    images, labels = next(iter(batches(digits.test, 256)))
    with torch.no_grad():
        hits = (session.model(images).argmax(1) == labels).float().mean()
    assert hits > 0.75 * trained.accuracy


def test_a_run_starts_from_the_integers_of_its_file(start):
    path, checkpoint = start
    model = open_from(path).model
    assert_same_latents(*take_latents(model), checkpoint)
    for _, _, latent in latent_weights(model):
        assert torch.equal(latent, latent.round())
    plain = lilnetx.materialize(model).state_dict()
    for name in checkpoint.latents:
        assert checkpoint.state_dict[name].any()
        assert torch.equal(plain[name], checkpoint.state_dict[name]), name


def test_a_network_finished_again_at_once_is_the_same(start):
    path, checkpoint = start
    _, again = finalize(open_from(path).model, None)
    assert_same_latents(again.latents, again.decoders, checkpoint)


def test_a_run_that_goes_on_does_not_grow(trained, digits, tmp_path):
    """Started from its dense weights, it would take 2 to 3 times the bytes."""
    path = tmp_path / "model.lnx"
    size = lnx.save(pack(load_checkpoint(trained.checkpoint)), path)
    config = resolve(None, {**DIGITS, **WEIGHTS, "model.init": path, "train.epochs": 2})
    watcher = Silent()
    result = run_training(
        config, digits, tmp_path / "run", observer=watcher, should_stop=lambda: False
    )
    assert 0.5 * size < watcher.epochs[0].estimated_bytes < 1.1 * size
    assert 0.5 * size < result.estimated_bytes < 1.1 * size
    assert result.accuracy > trained.accuracy - 0.05


def test_weights_without_latents_start_fine(trained, digits, tmp_path):
    """As those of any other framework: rounding changes them by a few percent."""
    dense = load_checkpoint(trained.checkpoint).state_dict
    torch.save(dict(dense), tmp_path / "dense.pt")
    model = open_from(tmp_path / "dense.pt").model
    plain = lilnetx.materialize(model).state_dict()
    for name, _, latent in latent_weights(model):
        now, before = plain[name].flatten(), dense[name].flatten()
        # A norm takes a factor away: what counts is the direction.
        alike = torch.nn.functional.cosine_similarity(now, before, dim=0)
        assert alike > 0.99, name
        assert not torch.equal(latent, latent.round())
    assert measure_accuracy(model, digits.test).accuracy > trained.accuracy - 0.05


def test_weights_changed_after_training_are_not_forgotten(trained, tmp_path):
    """Latents that no longer stand for the weights beside them are left alone."""
    checkpoint = load_checkpoint(trained.checkpoint)
    state = {k: v.clone() for k, v in checkpoint.state_dict.items()}
    state["layer1.0.conv1.weight"] *= 1.5
    path = tmp_path / "changed.pt"
    save_checkpoint(replace(checkpoint, state_dict=state), path)
    plain = lilnetx.materialize(open_from(path).model).state_dict()
    for name in checkpoint.latents:
        if name == "layer1.0.conv1.weight":
            error = (plain[name] - state[name]).norm() / state[name].norm()
            assert 0 < error < 1
        else:
            assert torch.equal(plain[name], state[name]), name


def test_a_head_for_other_classes_is_fresh(trained):
    checkpoint = load_checkpoint(trained.checkpoint)
    other = build("resnet20", {"channels": 1, "classes": 7})
    start_from(other, checkpoint.state_dict)
    drawn = other.fc.weight.detach().clone()
    put_latents(reparameterize(other), checkpoint)
    plain = lilnetx.materialize(other).state_dict()
    for name in checkpoint.latents.keys() - {"fc.weight"}:
        assert torch.equal(plain[name], checkpoint.state_dict[name]), name
    torch.testing.assert_close(plain["fc.weight"], drawn, atol=0.02, rtol=0)


def test_a_weight_that_a_file_has_not_is_written_in_its_steps():
    """One of two linear layers fits; both share the decoder of the file."""
    donor = fill(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3)))
    donor = capture(reparameterize(donor, spread=20.0))
    own = fill(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 5)), seed=1)
    head = own[1].weight.detach().clone()
    put_latents(reparameterize(own), donor)
    plain = lilnetx.materialize(own)
    assert torch.equal(plain[0].weight, donor.state_dict["0.weight"])
    assert latent_groups(own)["dense"].decoder.item() == donor.decoders[0].item()
    assert 0 < (plain[1].weight - head).norm() < 0.1 * head.norm()


@pytest.mark.parametrize(
    "broken",
    [
        {"symbols": torch.ones(64, 2, dtype=torch.int8)},
        {"symbols": torch.ones(8, 1, dtype=torch.int8)},
        {"decoder": 1},
    ],
    ids=["slices", "rows", "decoder"],
)
def test_latents_of_another_form_are_left(broken):
    donor = capture(reparameterize(fill(nn.Sequential(nn.Linear(8, 8)))))
    entry = replace(donor.latents["0.weight"], **broken)
    decoders = (*donor.decoders, torch.eye(2))
    donor = replace(donor, latents={"0.weight": entry}, decoders=decoders)
    own = reparameterize(fill(nn.Sequential(nn.Linear(8, 8)), seed=1))
    before = own[0].weight.clone()
    put_latents(own, donor)
    assert torch.equal(own[0].weight, before)


def test_too_coarse_a_start_is_told_in_one_line(tiny, digits, tmp_path):
    dense = filled(build("resnet20", {"channels": 1, "classes": 10}), 32, 1, 8, 8)
    torch.save(dense.state_dict(), tmp_path / "dense.pt")
    config = tiny(
        model__init=tmp_path / "dense.pt", train__first_spread=0.3, train__max_steps=1
    )
    watcher = Silent()
    run_training(
        config, digits, tmp_path / "run", observer=watcher, should_stop=lambda: False
    )
    (line,) = watcher.warnings
    assert line.startswith("rounding changes")
    assert "\n" not in line


def test_a_resumed_run_does_not_need_the_weights(tmp_path):
    splits = load_splits("digits", None)
    config = resolve(None, {**DIGITS, "model.init": tmp_path / "gone.pt"})
    assert open_session(config, splits, fresh=False).started is None
    with pytest.raises(FileNotFoundError):
        open_session(config, splits)


def test_unfolding_keeps_the_function():
    network = fill(build("resnet20", {"channels": 1, "classes": 10})).train()
    images = numbers(64, 1, 12, 12)
    for _ in range(30):
        network(images)
    network.eval()
    fold_batch_norms(network)
    before = network(images)
    assert lively(before)
    assert unfold_batch_norms(network, [images]) == 19
    assert torch.allclose(network(images), before, atol=1e-3)
    assert not torch.equal(network.bn1.running_var, torch.ones(16))
    in_training = network.train()(images)
    assert torch.allclose(in_training, before, atol=1e-2)


def test_norms_that_nothing_has_trained_are_not_folded():
    network = build("resnet20", {"channels": 1, "classes": 10})
    nn.init.zeros_(network.bn1.weight)  # as residual blocks may start
    before = copy.deepcopy(network.state_dict())
    assert unfold_batch_norms(network, [numbers(8, 1, 12, 12)]) == 0
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())


def test_other_classes_get_a_fresh_head():
    donor, own = (build("resnet18", {"channels": 3, "classes": n}) for n in (1000, 10))
    start = start_from(own, donor.state_dict())
    assert start.fresh == ("fc.weight", "fc.bias")
    assert "2 untrained: fc.weight, fc.bias" in start.text()
    assert torch.equal(own.conv1.weight, donor.conv1.weight)


def test_nothing_that_fits_is_an_error():
    with pytest.raises(InputError, match="no weight"):
        start_from(nn.Linear(3, 4), nn.Linear(4, 3).state_dict())


def test_weights_of_torchvision_are_asked_for(monkeypatch):
    from torchvision.models import ResNet18_Weights

    given = {"fc.bias": torch.ones(1000)}
    asked = []

    def get(self, *, progress, check_hash):
        asked.append((self, progress, check_hash))
        return given

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", get)
    assert pretrained_state("resnet18") is given
    assert pretrained_state("torchvision:resnet18") is given
    assert asked == 2 * [(ResNet18_Weights.DEFAULT, False, True)]


def test_weights_that_cannot_be_had_are_one_line(monkeypatch):
    from torchvision.models import ResNet18_Weights

    def fail(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", fail)
    with pytest.raises(
        InputError, match="'resnet18' are not available: no route to host"
    ):
        pretrained_state("resnet18")
    with pytest.raises(UsageError, match="has no trained weights"):
        pretrained_state("resnet20")
