"""Every preset takes real steps: the full network, images in the set's own form."""

from pathlib import Path

import pytest
from torchvision.datasets import cifar

import lnx
from lilnetx_cli.checkpoint import load_checkpoint, pack
from lilnetx_cli.config import resolve
from lilnetx_cli.data import load_splits
from lilnetx_cli.models import build
from lilnetx_cli.training import run_training
from tests.data.making_data import make_cifar, make_folder, make_mnist
from tests.training.silent import Silent

PRESETS = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))
# Each takes up to half a minute of a core.
CASES = [pytest.param(path, id=path.stem, marks=pytest.mark.slow) for path in PRESETS]
STEPS = {"train.max_steps": 2, "train.batch_size": 4, "train.device": "cpu",
         "train.calibration_images": 4, "data.workers": 0}  # fmt: skip


def make_images(name, folder):
    """Write a few images as the set of a name holds them on disk."""
    if name.startswith("cifar"):
        make_cifar(folder, int(name.removeprefix("cifar")))
    elif name == "imagenet":
        make_folder(folder)
    else:
        make_mnist(folder, ".gz")


@pytest.mark.parametrize("preset", CASES)
def test_a_preset_takes_steps(preset, tmp_path, monkeypatch):
    # Generated files have other checksums than the real ones.
    monkeypatch.setattr(cifar, "check_integrity", lambda *_: True)
    data, out = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    out.mkdir()
    wanted = resolve(preset, {}).target
    assert wanted.size or wanted.ratio
    # After two steps, a size is a long search for nothing; one preset shows it.
    free = {} if preset.stem == "fashion_resnet20" else {"target.ratio": None}
    config = resolve(preset, {**STEPS, **free})
    make_images(config.data.name, data)
    splits = load_splits(config.data.name, data)
    result = run_training(
        config, splits, out, observer=Silent(), should_stop=lambda: False, resume=None
    )
    assert result.steps == 2
    checkpoint = load_checkpoint(result.checkpoint)
    record = checkpoint.architecture
    assert record["name"] == config.model.name
    whole = build(record["name"], record["args"]).state_dict()
    assert {k: v.shape for k, v in checkpoint.state_dict.items()} == {
        k: v.shape for k, v in whole.items()
    }
    size = lnx.save(pack(checkpoint), out / "m.lnx")
    assert size == result.estimated_bytes or abs(size / result.estimated_bytes - 1) < (
        0.01
    )
