"""The method in a Trainer of Lightning: `pip install lilnetx[lightning]`.

    compressor = lilnetx.Compressor(task.net, inputs, steps=3000, target_size=30_000)
    # task.configure_optimizers returns Adam(compressor.parameter_groups(lr=1e-3))
    callbacks = [CompressorCallback(compressor)]
    Trainer(max_steps=3000, callbacks=callbacks).fit(task, loader)
    lilnetx.save(compressor.finalize(), "model.lnx")

The loss of a LightningModule stays as it is: the gradient of the penalty is added just
before each step of the optimizer, after gradients were summed over batches and unscaled
and before they are clipped.
"""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from lilnetx_cli.training.compressor import Compressor


class CompressorCallback(Callback):  # type: ignore[misc]
    """Steers a fit, adds the penalty, and keeps its state in checkpoints."""

    def __init__(self, compressor: Compressor) -> None:
        super().__init__()
        self.compressor = compressor

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Follow the optimizer that trains the latents."""
        del pl_module
        own = [x for x in trainer.optimizers if self.compressor.is_trained_by(x)]
        self.compressor.attach((own or trainer.optimizers)[0])

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Add the gradient of the penalty, and log the rate."""
        del trainer
        if self.compressor.is_trained_by(optimizer):
            terms = self.compressor.backward()
            pl_module.log("bits_per_weight", terms.bits_per_weight.detach())

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return self.compressor.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.compressor.load_state_dict(state_dict)
