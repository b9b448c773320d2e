"""The method in the Trainer of Hugging Face: `pip install lilnetx[transformers]`.

    compressor = lilnetx.Compressor(model, batch, steps=3000, target_size=2_000_000)
    optimizer = torch.optim.AdamW(compressor.parameter_groups(lr=1e-4))
    Trainer(model, arguments, train_dataset=data, optimizers=(optimizer, None),
            callbacks=[CompressorCallback(compressor)]).train()
    lilnetx.save(compressor.finalize(), "model.lnx")

The loss of the Trainer stays as it is: the gradient of the penalty is added just before
each step of the optimizer, after gradients were summed over batches and clipped. Its
state is `compressor.pt` in each checkpoint.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from lilnetx_cli.errors import UsageError
from lilnetx_cli.training.compressor import Compressor

STATE = "compressor.pt"


class CompressorCallback(TrainerCallback):  # type: ignore[misc]
    """Steers a training, adds the penalty, and keeps its state in checkpoints."""

    def __init__(self, compressor: Compressor) -> None:
        self.compressor = compressor

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **others: Any,  # noqa: ANN401
    ) -> None:
        """Follow the optimizer, from a checkpoint where the Trainer resumes one."""
        del control
        if args.fp16 and not args.max_grad_norm:
            raise UsageError("fp16 without max_grad_norm steps on scaled gradients")
        self.compressor.attach(others["optimizer"])
        if state.global_step:
            named = args.resume_from_checkpoint
            folder = Path(named) if isinstance(named, str) else _folder(args, state)
            self.compressor.load_state_dict(
                torch.load(folder / STATE, weights_only=True)
            )

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **others: Any,  # noqa: ANN401
    ) -> None:
        """Add the gradient of the penalty."""
        del args, state, control, others
        self.compressor.backward()

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **others: Any,  # noqa: ANN401
    ) -> None:
        """Write the state beside the checkpoint of the Trainer."""
        del control, others
        if state.is_world_process_zero:
            torch.save(self.compressor.state_dict(), _folder(args, state) / STATE)


def _folder(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"
