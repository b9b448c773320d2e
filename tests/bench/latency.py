"""Half of the inner filters dead: how much faster is the pruned network, on the clock?

    python -m tests.bench.latency [--models resnet20 resnet18 mobilenet_v2]

Dense and pruned networks run in turns, in torch and in onnxruntime, on one and on two
threads, batch 1 and 32. The last column is the ratio of times over that of MACs.
"""

import argparse
from itertools import pairwise

import torch
from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual

from lilnetx_cli.measure.side_by_side import describe_work, measure_all
from lilnetx_cli.models import build
from lilnetx_cli.pruning import prune

SIDES = {"resnet20": 32, "resnet18": 224, "mobilenet_v2": 224}


@torch.no_grad()
def kill_half(network: nn.Module) -> None:
    """Zero every other filter inside the blocks, with its batch norm, as gates do."""
    for block in network.modules():
        if isinstance(block, InvertedResidual):
            layers = list(block.conv.modules())
            pairs = [(a, b) for a, b in pairwise(layers)
                     if isinstance(a, nn.Conv2d)][:-1]  # fmt: skip
        elif hasattr(block, "conv1") and hasattr(block, "conv2"):
            pairs = [(block.conv1, block.bn1)]
        else:
            continue
        for conv, norm in pairs:
            conv.weight[::2] = 0
            norm.weight[::2] = 0
            norm.bias[::2] = 0


def measure(name: str, seconds: float) -> None:
    """Print the times of one network."""
    torch.manual_seed(0)
    dense = build(name, {"channels": 3, "classes": 1000}).eval()
    kill_half(dense)
    example = torch.randn(2, 3, SIDES[name], SIDES[name])
    pruned = prune(dense, (example,)).model
    before, after = describe_work(dense, example), describe_work(pruned, example)
    macs = before["macs"] / after["macs"]
    print(f"{name}: MACs {before['macs'] / 1e6:.1f} M -> {after['macs'] / 1e6:.1f} M,"
          f" {macs:.2f} times fewer; parameters {before['parameters'] / 1e6:.2f} M ->"
          f" {after['parameters'] / 1e6:.2f} M")  # fmt: skip
    for threads in (1, 2):
        times, left_out = measure_all([dense, pruned], example, threads, seconds)
        for slow, fast in zip(*times, strict=True):
            ratio = slow.median / fast.median
            print(f"  {slow.engine:12} batch {slow.batch:2} threads {threads}:"
                  f" {slow.median:9.3f} -> {fast.median:9.3f} ms, {ratio:.2f} times"
                  f" faster, {ratio / macs:.2f} of the MACs ratio")  # fmt: skip
        if left_out is not None:
            print(f"  {left_out}")


def main() -> None:
    """Measure the networks named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(SIDES))
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    for name in options.models:
        measure(name, options.seconds)


if __name__ == "__main__":
    main()
