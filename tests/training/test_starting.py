"""Runs that start from trained weights."""

import pytest
import torch
from torch import nn

import lilnetx_cli as lilnetx
from lilnetx_cli.config import resolve
from lilnetx_cli.data import batches, load_splits
from lilnetx_cli.errors import InputError, UsageError
from lilnetx_cli.measure import measure_accuracy
from lilnetx_cli.models import build
from lilnetx_cli.models.pretrained import pretrained_state, start_from
from lilnetx_cli.nn.batch_norm import fold_batch_norms, unfold_batch_norms
from lilnetx_cli.training import run_training
from lilnetx_cli.training.set_up import open_session
from tests.training.silent import Silent

DIGITS = {
    "data.name": "digits", "train.device": "cpu", "train.epochs": 6,
    "train.batch_size": 64, "train.calibration_images": 128,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few epochs on the digits, light on bytes."""
    folder = tmp_path_factory.mktemp("first")
    config = resolve(
        None, {**DIGITS, "loss.rate_weight": 0.02, "loss.slice_weight": 0.0}
    )
    splits = load_splits("digits", None)
    result = run_training(
        config, splits, folder, observer=Silent(), should_stop=lambda: False
    )
    assert result.accuracy > 0.9
    return result


@pytest.mark.parametrize("suffix", ["pt", "lnx"])
def test_a_run_starts_where_another_ended(trained, tmp_path, suffix):
    path = trained.checkpoint
    if suffix == "lnx":
        import lnx
        from lilnetx_cli.checkpoint import load_checkpoint, pack

        path = tmp_path / "model.lnx"
        lnx.save(pack(load_checkpoint(trained.checkpoint)), path)
    splits = load_splits("digits", None)
    session = open_session(resolve(None, {**DIGITS, "model.init": path}), splits)
    assert session.started.startswith("all ")
    now = measure_accuracy(session.model, splits.test).accuracy
    assert now > trained.accuracy - 0.02
    session.model.train()  # as it goes on: batch norms with statistics of the batch
    images, labels = next(iter(batches(splits.test, 256)))
    with torch.no_grad():
        hits = (session.model(images).argmax(1) == labels).float().mean()
    assert hits > trained.accuracy - 0.05


def test_a_resumed_run_does_not_need_the_weights(tmp_path):
    splits = load_splits("digits", None)
    config = resolve(None, {**DIGITS, "model.init": tmp_path / "gone.pt"})
    assert open_session(config, splits, fresh=False).started is None
    with pytest.raises(FileNotFoundError):
        open_session(config, splits)


def test_unfolding_keeps_the_function():
    torch.manual_seed(0)
    network = build("resnet20", {"channels": 1, "classes": 10}).train()
    images = torch.randn(64, 1, 12, 12)
    for _ in range(30):
        network(images)
    network.eval()
    fold_batch_norms(network)
    before = network(images)
    assert unfold_batch_norms(network, [images]) == 19
    assert torch.allclose(network(images), before, atol=1e-3)
    assert not torch.equal(network.bn1.running_var, torch.ones(16))
    in_training = network.train()(images)
    assert torch.allclose(in_training, before, atol=1e-2)


def test_other_classes_get_a_fresh_head():
    donor, own = (build("resnet18", {"channels": 3, "classes": n}) for n in (1000, 10))
    start = start_from(own, donor.state_dict())
    assert start.fresh == ("fc.weight", "fc.bias")
    assert "2 are fresh: fc.weight, fc.bias" in start.text()
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
    with pytest.raises(InputError, match="'resnet18' cannot be had: no route to host"):
        pretrained_state("resnet18")
    with pytest.raises(UsageError, match="has no trained weights"):
        pretrained_state("resnet20")


def test_trained_weights_get_fine_latents(trained):
    splits = load_splits("digits", None)
    model = open_session(
        resolve(None, {**DIGITS, "model.init": trained.checkpoint}), splits
    ).model
    plain = lilnetx.materialize(model).eval()
    assert measure_accuracy(plain, splits.test).accuracy > trained.accuracy - 0.02
