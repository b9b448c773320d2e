"""GETA, joint pruning and quantization-aware training, on ResNet-20 of Fashion-MNIST.

    git clone https://github.com/microsoft/geta
    PYTHONHASHSEED=7 PYTHONPATH=formats:geta:geta/only_train_once \
        python -m tests.bench.geta --data-dir FOLDER [--sparsity 0.62] [--bits 4 16]

One training from scratch in bfloat16; GETA also needs graphviz and what its README
names. Of the epochs, 1/5 narrows the range of bits, 1/5 prunes, the rest fine-tunes, as
in its README; its learning rate of 0.001 was worse (90.0 % of the validation images
after four epochs, 92.1 with 0.005). Its graph puts the channels of the residual stream
in one group, so the stem is marked, and only inner channels of blocks go. It writes no
packed file: bytes are weights at their bits, and everything else in float32.
"""

import argparse
import copy
import math
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lilnetx_cli.data import EpochSampler, Splits, batches, load_splits
from lilnetx_cli.measure import measure_accuracy
from lilnetx_cli.models import build
from tests.bench.pruners import macs

BATCH, PERIODS = 128, 5


def wrapped(dense: nn.Module, example: torch.Tensor) -> tuple[nn.Module, Any]:
    """Return the network with quantized layers, and GETA's view of it."""
    from torch.onnx._internal.torchscript_exporter import _globals, utils

    # GETA expects these two where older releases of torch had them.
    sys.modules["torch.onnx._globals"] = _globals
    torch.onnx._optimize_graph = utils._optimize_graph
    from only_train_once import OTO
    from only_train_once.quantization.quant_model import model_to_quantize_model

    network = model_to_quantize_model(dense)
    oto = OTO(network, example)
    oto.mark_unprunable_by_param_names(["conv1.weight"])
    return network, oto


def plain(network: nn.Module) -> nn.Module:
    """Return a copy whose quantized layers are plain ones of the rounded weights."""
    network = copy.deepcopy(network)
    for layer in list(network.modules()):
        for name, old in list(layer.named_children()):
            if not hasattr(old, "d_quant_wt"):
                continue
            outputs, inputs, *kernel = old.weight.shape
            bias = old.bias is not None
            new: nn.Module = nn.Linear(inputs, outputs, bias)
            if kernel:
                new = nn.Conv2d(
                    inputs, outputs, old.kernel_size, old.stride, old.padding, bias=bias
                )
            new.weight.data = old.quantize_weight(old.weight).detach()
            if bias:
                new.bias.data = old.bias.detach()
            setattr(layer, name, new)
    return network.eval()


def size_of(network: nn.Module) -> tuple[float, int]:
    """Return the bytes of the weights at their bits, and of all else in float32."""
    layers = {n: x for n, x in network.named_modules() if hasattr(x, "d_quant_wt")}
    weights = sum(x.weight.numel() * x.weight_bit for x in layers.values()) / 8
    others = sum(
        4 * x.numel()
        for name, x in network.state_dict().items()
        if name.removesuffix(".weight") not in layers and x.is_floating_point()
    )
    return weights, others


def fit(network: nn.Module, optimizer: Any, splits: Splits, steps: int) -> None:
    """Train for so many steps with one cosine."""
    rule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(1, step / steps)))
    )
    network.train()  # not in channels_last: GETA views weights as rows
    sampler, done = EpochSampler(len(splits.train), 7), 0
    loader = batches(splits.train, BATCH, sampler=sampler, drop_last=True)
    for epoch in range(math.ceil(steps / len(loader))):
        sampler.set_position(epoch, 0)
        splits.train.begin_epoch(7, epoch)
        for images, labels in loader:
            if done == steps:
                return
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(images)
            optimizer.zero_grad()
            F.cross_entropy(logits.float(), labels).backward()
            optimizer.grad_clipping()  # as its own scripts for ResNets do
            optimizer.step()
            rule.step()
            done += 1


def main() -> None:
    """Train, take the channels out, print a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("geta-run"))
    parser.add_argument("--sparsity", type=float, default=0.62, help="of channels")
    parser.add_argument("--bits", type=int, nargs=2, default=[4, 16])
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--steps", type=int, default=2105, help="five epochs")
    options = parser.parse_args()
    torch.manual_seed(7)
    splits = load_splits("fashion-mnist", options.data_dir)
    example = torch.randn(1, 1, 28, 28)
    dense = build("resnet20", {"channels": 1, "classes": 10, "width": 1})
    whole = macs(dense, example)
    network, oto = wrapped(dense, example)
    part = options.steps // (5 * PERIODS) * PERIODS  # whole periods
    optimizer = oto.geta(
        variant="adam", lr=options.rate, lr_quant=1e-3, first_momentum=0.9,
        weight_decay=1e-4, target_group_sparsity=options.sparsity,
        start_projection_step=0, projection_periods=PERIODS, projection_steps=part,
        start_pruning_step=part, pruning_periods=PERIODS, pruning_steps=part,
        bit_reduction=2, min_bit_wt=options.bits[0], max_bit_wt=options.bits[1],
        device="cpu",
    )  # fmt: skip
    fit(network, optimizer, splits, options.steps)
    options.out.mkdir(parents=True, exist_ok=True)
    oto.construct_subnet(out_dir=str(options.out))
    small = torch.load(oto.compressed_model_path, weights_only=False)
    accuracy = 100 * measure_accuracy(small, splits.test).accuracy
    weights, others = size_of(small)
    print(
        f"{accuracy:.2f} %, {macs(plain(small), example) / whole:.3f} of the MACs,"
        f" {weights / 1000:.1f} kB of weights, {others / 1000:.1f} of the rest"
    )


if __name__ == "__main__":
    main()
