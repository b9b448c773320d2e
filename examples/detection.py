"""Detection: a small network boxes and names three of ten kinds of things in a scene.

    python examples/detection.py --plain                # scenes of digits
    python examples/detection.py --data-dir FOLDER      # of Fashion-MNIST garments
    lilnetx evaluate detection.lnx --model examples/detection.py:network \\
        --metric examples/detection.py:metric

Each cell of a grid says whether a thing has its middle there, where, how large and what
it is. Legend: B scenes, SIDE x SIDE pixels, G x G cells; boxes are x1, y1, x2, y2.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms, box_iou

import lilnetx_cli as lilnetx
from lilnetx_cli.data import load_splits

SIDE, STRIDE, THINGS, KINDS, BATCH = 64, 8, 3, 10, 32
RATE, LATENT_RATE = 3e-3, 0.05
G = SIDE // STRIDE
Things = tuple[Tensor, Tensor]  # images (N, 1, H, W), kinds (N,)


def network() -> nn.Sequential:
    """Scenes (B, 1, SIDE, SIDE) to (B, 5 + KINDS, G, G): there or not, box, kind."""
    widths, parts = (1, 16, 32, 64, 128, 128), []
    for number, (before, after) in enumerate(pairwise(widths)):
        stride = 2 if number < 3 else 1
        conv = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        parts += [conv, nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*parts, nn.Conv2d(128, 5 + KINDS, 1))


def scenes(things: Things, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return scenes, boxes (B, THINGS, 4) and kinds (B, THINGS); none overlap."""
    draw = torch.Generator().manual_seed(seed)
    half, (images, labels) = SIDE // 2, things
    scene = 0.2 * torch.rand(count, 1, SIDE, SIDE, generator=draw)
    boxes = torch.zeros(count, THINGS, 4)
    chosen = torch.randint(len(images), (count, THINGS), generator=draw)
    for number in range(count):
        for thing, quarter in enumerate(torch.randperm(4, generator=draw)[:THINGS]):
            size = int(torch.randint(16, 31, (), generator=draw))
            x, y = torch.randint(half - size + 1, (2,), generator=draw).tolist()
            x, y = x + half * int(quarter % 2), y + half * int(quarter // 2)
            one = images[chosen[number, thing]][None].float()
            one = (one - one.min()) / (one.max() - one.min())
            one = F.interpolate(one, (size, size), mode="bilinear")[0, 0]
            scene[number, 0, y : y + size, x : x + size] += one
            rows, columns = (torch.nonzero(one.amax(d) > 0.2)[:, 0] for d in (1, 0))
            boxes[number, thing] = torch.tensor(
                [x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1]
            )
    return scene, boxes, labels[chosen]


def loss_of(found: Tensor, boxes: Tensor, kinds: Tensor) -> Tensor:
    """Return the sum of the losses of presence, box and kind."""
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    x, y = (middle / STRIDE).long().unbind(-1)
    scene = torch.arange(len(found))[:, None].expand_as(x)
    there = torch.zeros(len(found), G, G)
    there[scene, y, x] = 1
    own = found[scene, :, y, x]  # (B, THINGS, 5 + KINDS)
    size = (boxes[..., 2:] - boxes[..., :2]) / SIDE
    box = torch.cat([middle / STRIDE - torch.stack([x, y], -1), size.log()], -1)
    presence = F.binary_cross_entropy_with_logits(found[:, 0], there, reduction="sum")
    return (
        presence / there.sum()
        + 2 * F.smooth_l1_loss(own[..., 1:5], box)
        + F.cross_entropy(own[..., 5:].flatten(0, 1), kinds.flatten())
    )


def boxes_of(found: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return boxes, scores and kinds of one scene, (5 + KINDS, G, G)."""
    cells = torch.cartesian_prod(torch.arange(G), torch.arange(G)).flip(1)  # x, y
    flat = found.flatten(1).T
    middle, size = (cells + flat[:, 1:3]) * STRIDE, SIDE * flat[:, 3:5].exp()
    chance, kinds = flat[:, 5:].softmax(1).max(1)
    boxes = torch.cat([middle - size / 2, middle + size / 2], 1)
    scores = flat[:, 0].sigmoid() * chance
    kept = batched_nms(boxes, scores, kinds, 0.5)
    return boxes[kept], scores[kept], kinds[kept]


def average_precision(hits: list[tuple[float, bool]], there: int) -> float:
    """Return the area under precision over recall."""
    right = torch.tensor([hit for _, hit in sorted(hits, reverse=True)]).cumsum(0)
    precision = right / torch.arange(1, len(right) + 1)
    best = precision.flip(0).cummax(0).values.flip(0)
    return float((best * right.diff(prepend=right.new_zeros(1))).sum()) / max(there, 1)


@torch.no_grad()
def mean_ap(model: nn.Module, things: Things, count: int = 320) -> float:
    """Return the mean over kinds of the average precision at an IoU of 0.5."""
    hits: list[list[tuple[float, bool]]] = [[(0.0, False)] for _ in range(KINDS)]
    there = torch.zeros(KINDS)
    for seed in range(count // BATCH):
        scene, boxes, kinds = scenes(things, BATCH, 1_000_000 + seed)
        there += torch.bincount(kinds.flatten(), minlength=KINDS)
        for found, own, what in zip(model.eval()(scene), boxes, kinds, strict=True):
            free = torch.ones(THINGS, dtype=torch.bool)
            for box, score, kind in zip(*boxes_of(found), strict=True):
                overlap = box_iou(box[None], own)[0] * (free & (what == kind))
                hit = bool(overlap.max() >= 0.5)
                free[overlap.argmax()] &= not hit
                hits[kind].append((float(score), hit))
    parts = [average_precision(*x) for x in zip(hits, there.tolist(), strict=True)]
    return sum(parts) / KINDS


def metric(model: nn.Module, loader: object) -> dict[str, float]:
    """For lilnetx evaluate --metric; without --dataset on scenes of digits."""
    test = load_splits("digits", None).test
    batches = loader or [(test.images, test.labels)]
    images, labels = (torch.cat(part) for part in zip(*batches, strict=True))
    return {"map50": mean_ap(model, (images, labels))}


def train(
    model: nn.Module,
    things: Things,
    steps: int,
    compressor: lilnetx.Compressor | None = None,
) -> None:
    """Take all steps; with a Compressor, towards a small file."""
    groups = [{"params": [*model.parameters()], "lr": RATE}]
    if compressor:
        groups = compressor.parameter_groups(lr=RATE, latent_lr=LATENT_RATE)
    optimizer = torch.optim.Adam(groups)
    if compressor:
        compressor.attach(optimizer)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=steps, cycle_momentum=False
    )
    model.train()
    for step in range(steps):
        scene, boxes, kinds = scenes(things, BATCH, step)
        loss = loss_of(model(scene), boxes, kinds)
        if compressor:
            loss = loss + compressor.penalty().total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--target-size", type=int, default=65_500, help="bytes")
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
        print(f"plain: mAP {mean_ap(plain, test):.4f}; ", end="", flush=True)
    inputs = scenes(things, 256, -1)[0]
    compressor = lilnetx.Compressor(
        model,
        inputs,
        steps=options.steps,
        target_size=options.target_size,
        start="random",
    )
    train(model, things, options.steps, compressor)
    size = lilnetx.save(compressor.finalize(), "detection.lnx")
    again = lilnetx.load_model("detection.lnx", model=network())
    small = lilnetx.load_model(
        "detection.lnx", model=network(), pruned=True, inputs=(inputs[:2],)
    )
    left = 4 * sum(parameter.numel() for parameter in small.parameters())
    print(
        f"file: mAP {mean_ap(again, test):.4f}, {size:,} bytes, float32 {dense:,},"
        f" {dense / size:.1f} times smaller; pruned: mAP {mean_ap(small, test):.4f}"
        f" with {left / dense:.0%} of the parameters"
    )


if __name__ == "__main__":
    main()
