"""The plain network trained as lilnetx trains it: the accuracy to compare with.

    python -m tests.bench.dense --model vgg16_bn --model-arg percent=25 \
        --dataset fashion-mnist --data-dir FOLDER --epochs 8 --bf16

Same images, augmentation, batches, Adam, warm-up and cosine; no latents, no penalty.
-o FILE saves the state dict.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F

from lilnetx_cli.cli.options import parse_model_args
from lilnetx_cli.data import EpochSampler, batches, load_splits
from lilnetx_cli.measure import measure_accuracy
from lilnetx_cli.models import build
from lilnetx_cli.training.loop import cosine


def train(options: argparse.Namespace) -> float:
    """Train and return the accuracy on the test images."""
    torch.manual_seed(options.seed)
    splits = load_splits(options.dataset, options.data_dir)
    form = {"channels": splits.channels, "classes": splits.classes}
    model = build(options.model, {**form, **parse_model_args(options.model_arg)})
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), options.lr)
    sampler = EpochSampler(len(splits.train), options.seed)
    loader = batches(splits.train, options.batch, sampler=sampler, drop_last=True)
    steps, step = options.epochs * len(loader), 0
    for epoch in range(options.epochs):
        sampler.set_position(epoch, 0)
        splits.train.begin_epoch(options.seed, epoch)
        for images, labels in loader:
            for group in optimizer.param_groups:
                group["lr"] = options.lr * cosine(step, steps, 0.1)
            with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
                logits = model(images.to(memory_format=torch.channels_last))
            optimizer.zero_grad()
            F.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
            step += 1
        print(f"epoch {epoch + 1} of {options.epochs}", flush=True)
    if options.output:
        torch.save(plain_state(model), options.output)
    return measure_accuracy(model.eval(), splits.test).accuracy


def plain_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the state dict in C order, as other tools write it."""
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def main() -> None:
    """Train one network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--model-arg", action="append")
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.005)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bf16", action="store_true", help="under autocast")
    parser.add_argument("-o", "--output", type=Path, help="file for the state dict")
    options = parser.parse_args()
    print(f"{options.model}: test accuracy {train(options):.4f}")


if __name__ == "__main__":
    main()
