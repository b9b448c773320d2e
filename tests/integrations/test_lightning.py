"""The callback in a real Trainer of Lightning."""

import logging
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lilnetx_cli as lilnetx
from tests.nn.making import drawn, numbers

lightning = pytest.importorskip("lightning.pytorch")
from lilnetx_cli.integrations.lightning import CompressorCallback  # noqa: E402

STEPS = 24


def network():
    return drawn(nn.Sequential(nn.Linear(8, 256), nn.ReLU(), nn.Linear(256, 2)))


class Task(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = network()
        self.compressor = lilnetx.Compressor(
            self.network, images(), steps=STEPS, start="random", target_size=900
        )

    def training_step(self, batch, _):
        x, y = batch
        return nn.functional.mse_loss(self.network(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.compressor.parameter_groups(lr=0.01))


def images():
    return numbers(64, 8)


def loader():
    return DataLoader(TensorDataset(images(), numbers(64, 2, seed=1)), batch_size=16)


def fit(task, folder, steps=STEPS, checkpoint=None):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = lightning.Trainer(
        max_steps=steps, callbacks=[CompressorCallback(task.compressor)],
        accumulate_grad_batches=2, gradient_clip_val=1.0, accelerator="cpu",
        default_root_dir=folder, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few workers and short epochs
        trainer.fit(task, loader(), ckpt_path=checkpoint, weights_only=True)
    return trainer


def test_a_fit_ends_at_its_size(tmp_path):
    torch.manual_seed(0)
    task = Task()
    trainer = fit(task, tmp_path)
    assert task.compressor.step == STEPS
    assert float(trainer.callback_metrics["bits_per_weight"]) > 0
    final = task.compressor.finalize()
    assert lilnetx.save(final, tmp_path / "model.lnx") <= 900
    again = lilnetx.load_model(tmp_path / "model.lnx", model=network())
    assert torch.equal(again(images()), final.model(images()))


def test_a_checkpoint_keeps_the_state(tmp_path):
    task = Task()
    fit(task, tmp_path, steps=10).save_checkpoint(tmp_path / "half.ckpt")
    other = Task()
    fit(other, tmp_path, checkpoint=tmp_path / "half.ckpt")
    assert other.compressor.step == STEPS
    assert (
        other.compressor.state_dict()["growth"]
        == task.compressor.state_dict()["growth"]
    )
