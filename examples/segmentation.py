"""Segmentation: a U-Net says which of ten things each pixel of a scene belongs to.

    python examples/segmentation.py --plain                  # scenes of digits
    python examples/segmentation.py --data-dir FOLDER        # of Fashion-MNIST garments
    lilnetx evaluate segmentation.lnx --model examples/segmentation.py:network \\
        --metric examples/segmentation.py:metric

Legend: B scenes in a batch, SIDE x SIDE pixels.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lilnetx_cli as lilnetx
from lilnetx_cli.data import load_splits

SIDE, CLASSES, THINGS, BATCH, RATE, WIDTHS = 32, 11, 2, 16, 3e-3, (24, 48, 96)
Things = tuple[Tensor, Tensor]  # images (N, 1, H, W), kinds (N,)


def layers(channels: int, out: int) -> nn.Sequential:
    parts = []
    for before in (channels, out):
        conv = nn.Conv2d(before, out, 3, padding=1, bias=False)
        parts += [conv, nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*parts)


class UNet(nn.Module):
    """Scenes (B, 1, SIDE, SIDE) to logits (B, CLASSES, SIDE, SIDE); 0 is nothing."""

    def __init__(self) -> None:
        super().__init__()
        low, middle, high = WIDTHS
        self.down = nn.ModuleList([layers(1, low), layers(low, middle)])
        self.bottom = layers(middle, high)
        self.up = nn.ModuleList(
            [layers(high + middle, middle), layers(middle + low, low)]
        )
        self.head = nn.Conv2d(low, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for block in self.down:
            x = block(x)
            kept.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for block in self.up:
            x = F.interpolate(x, scale_factor=2.0)
            x = block(torch.cat([x, kept.pop()], 1))
        return self.head(x)


network = UNet  # for lilnetx evaluate --model


def scenes(things: Things, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Put things on noise, later ones over earlier ones; return scenes and classes."""
    draw = torch.Generator().manual_seed(seed)
    images, labels = things
    scene = 0.1 * torch.rand(count, 1, SIDE, SIDE, generator=draw)
    classes = torch.zeros(count, SIDE, SIDE, dtype=torch.int64)
    chosen = torch.randint(len(images), (count, THINGS), generator=draw)
    for number in range(count):
        for thing in chosen[number]:
            size = int(torch.randint(14, 23, (), generator=draw))
            y, x = torch.randint(SIDE - size + 1, (2,), generator=draw).tolist()
            one = images[thing][None].float()
            one = (one - one.min()) / (one.max() - one.min())
            one = F.interpolate(one, (size, size), mode="bilinear")[0, 0]
            here = slice(y, y + size), slice(x, x + size)
            mask = one > 0.2
            scene[number, 0][here][mask] = one[mask]
            classes[number][here][mask] = labels[thing] + 1
    return scene, classes


@torch.no_grad()
def mean_iou(model: nn.Module, things: Things) -> float:
    """Return the mean over classes of intersection over union, on 160 scenes."""
    scene, classes = scenes(things, 160, -2)
    found = torch.cat([model.eval()(part).argmax(1) for part in scene.split(BATCH)])
    right, there, said = (
        torch.bincount(part.flatten(), minlength=CLASSES)
        for part in (found[found == classes], classes, found)
    )
    return float((right / (there + said - right).clamp_min(1)).mean())


def metric(model: nn.Module, loader: object) -> dict[str, float]:
    """For lilnetx evaluate --metric; without --dataset on scenes of digits."""
    test = load_splits("digits", None).test
    batches = loader or [(test.images, test.labels)]
    images, labels = (torch.cat(part) for part in zip(*batches, strict=True))
    return {"mean_iou": mean_iou(model, (images, labels))}


def train(
    model: nn.Module,
    things: Things,
    steps: int,
    compressor: lilnetx.Compressor | None = None,
) -> None:
    """Take all steps; with a Compressor, towards a small file."""
    groups = [{"params": [*model.parameters()], "lr": RATE}]
    if compressor:
        groups = compressor.parameter_groups(lr=RATE)
    optimizer = torch.optim.Adam(groups)
    if compressor:
        compressor.attach(optimizer)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=steps, cycle_momentum=False
    )
    model.train()
    for step in range(steps):
        scene, classes = scenes(things, BATCH, step)
        loss = F.cross_entropy(model(scene), classes)
        if compressor:
            loss = loss + compressor.penalty().total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--target-size", type=int, default=60_000, help="bytes")
    parser.add_argument("--data-dir", type=Path, help="of Fashion-MNIST; else digits")
    parser.add_argument("--plain", action="store_true", help="also without compression")
    options = parser.parse_args()
    name = "fashion-mnist" if options.data_dir else "digits"
    splits = load_splits(name, options.data_dir)
    things, test = ((part.images, part.labels) for part in (splits.train, splits.test))
    torch.manual_seed(0)
    model, plain = network(), network()
    plain.load_state_dict(model.state_dict())
    dense = 4 * sum(parameter.numel() for parameter in model.parameters())
    if options.plain:
        train(plain, things, options.steps)
        print(f"plain: mIoU {mean_iou(plain, test):.4f}; ", end="", flush=True)
    inputs = scenes(things, 64, -1)[0]
    compressor = lilnetx.Compressor(
        model,
        inputs,
        steps=options.steps,
        target_size=options.target_size,
        start="random",
    )
    train(model, things, options.steps, compressor)
    size = lilnetx.save(compressor.finalize(), "segmentation.lnx")
    again = lilnetx.load_model("segmentation.lnx", model=network())
    small = lilnetx.load_model(
        "segmentation.lnx", model=network(), pruned=True, inputs=(inputs[:2],)
    )
    left = 4 * sum(parameter.numel() for parameter in small.parameters())
    print(
        f"file: mIoU {mean_iou(again, test):.4f}, {size:,} bytes, float32 {dense:,},"
        f" {dense / size:.1f} times smaller; pruned: mIoU {mean_iou(small, test):.4f}"
        f" with {left / dense:.0%} of the parameters"
    )


if __name__ == "__main__":
    main()
