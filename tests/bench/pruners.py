"""Torch-Pruning's group-norm pruner with fine-tuning, at equal epochs and equal MACs.

    python -m tests.bench.pruners --data-dir FOLDER [--model resnet20] [--arg width=1]
        [--epochs 5] [--shares 0.5 0.33] [--seed 7]

Of the epochs, a dense network takes the first 2/5, sparse learning the next 1/5, and
fine-tuning of the cut network the rest; each has its own cosine, in bfloat16. The dense
part is trained once for all shares. Files are those of `compress` with 512 training
images, at most half a point less accurate. Ours: `lilnetx train --target-macs`.
"""

import argparse
import copy
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torch_pruning as tp
from torch import Tensor, nn

import lilnetx_cli as lilnetx
from lilnetx_cli.data import EpochSampler, Splits, batches, load_splits
from lilnetx_cli.measure import measure_accuracy
from lilnetx_cli.models import build

BATCH, RATE, REGULARIZER = 128, 0.005, 1e-4
STEPS_OF_PRUNING = 400  # cuts of a small share each, until few MACs are left
Hook = Callable[[nn.Module], None]


def fit(
    network: nn.Module,
    splits: Splits,
    epochs: range,
    seed: int,
    hook: Hook | None = None,
) -> None:
    """Train for some epochs with one cosine; `hook` comes before each step."""
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    sampler = EpochSampler(len(splits.train), seed)
    loader = batches(splits.train, BATCH, sampler=sampler, drop_last=True)
    steps = len(epochs) * (len(splits.train) // BATCH)
    rule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(1, step / steps)))
    )
    network.train()
    for epoch in epochs:
        sampler.set_position(epoch, 0)
        splits.train.begin_epoch(seed, epoch)
        for images, labels in loader:
            images = images.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(images)
            optimizer.zero_grad()
            F.cross_entropy(logits.float(), labels).backward()
            if hook is not None:
                hook(network)
            optimizer.step()
            rule.step()


def macs(network: nn.Module, example: Tensor) -> float:
    """Return the multiply-adds of one image."""
    return float(tp.utils.count_ops_and_params(network, example)[0])


def cut(pruner: Any, network: nn.Module, example: Tensor, most: float) -> None:
    """Prune step by step until at most so many multiply-adds are left."""
    for _ in range(STEPS_OF_PRUNING):
        if macs(network, example) <= most:
            return
        pruner.step()
    raise SystemExit("Torch-Pruning did not reach the share")


def filed(network: nn.Module, splits: Splits) -> str:
    """Return bytes and test accuracy of the network's file.

    On the images that judge it, it is half a point less accurate at most.
    """
    order = torch.randperm(len(splits.calibration))[:512].tolist()
    images, labels = splits.calibration.__getitems__(order)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "theirs.lnx"
        lilnetx.compress(
            network, path, inputs=images, labels=labels, max_accuracy_drop=0.5
        )
        decoded = lilnetx.load_model(path, model=copy.deepcopy(network))
        return f"{path.stat().st_size:,} B of {score(decoded, splits)}"


def main() -> None:
    """Train, prune and fine-tune; print a line for each share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--arg", nargs="*", default=[], help="KEY=COUNT")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.33])
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    splits = load_splits(options.dataset, options.data_dir)
    form = {"channels": splits.channels, "classes": splits.classes}
    more = {key: int(value) for key, value in (x.split("=") for x in options.arg)}
    dense = build(options.model, {**form, **more})
    dense = dense.to(memory_format=torch.channels_last)
    example = torch.randn(1, splits.channels, splits.size, splits.size)
    first, second = round(0.4 * options.epochs), round(0.6 * options.epochs)
    fit(dense, splits, range(first), options.seed)
    print(f"dense, {first} epochs: {score(dense, splits)}", flush=True)
    for share in options.shares:
        network, whole = copy.deepcopy(dense), macs(dense, example)
        pruner = tp.pruner.GroupNormPruner(
            network,
            example,
            importance=tp.importance.GroupMagnitudeImportance(),
            reg=REGULARIZER,
            global_pruning=True,
            pruning_ratio=1.0,
            max_pruning_ratio=0.9,
            iterative_steps=STEPS_OF_PRUNING,
            ignored_layers=[x for x in network.modules() if isinstance(x, nn.Linear)],
        )
        pruner.update_regularizer()
        fit(network, splits, range(first, second), options.seed, pruner.regularize)
        cut(pruner, network, example, share * whole)
        fit(network, splits, range(second, options.epochs), options.seed)
        left = macs(network, example) / whole
        file = filed(network.eval(), splits)
        print(f"share {share}: {score(network, splits)}, {left:.3f} of the MACs,"
              f" {file}", flush=True)  # fmt: skip


def score(network: nn.Module, splits: Splits) -> str:
    """Return the accuracy on the test images as a text."""
    return f"{100 * measure_accuracy(network, splits.test).accuracy:.2f} %"


if __name__ == "__main__":
    main()
