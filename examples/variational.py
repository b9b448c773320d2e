"""A convolutional variational autoencoder: images from noise, judged by its ELBO.

    python examples/variational.py --plain                # digits
    python examples/variational.py --data-dir FOLDER      # Fashion-MNIST
    lilnetx evaluate variational.lnx --model examples/variational.py:network \\
        --metric examples/variational.py:metric

It writes variational.lnx, and variational.png: images on top, what the decoded file
makes of them below, then images that it draws.

Legend: B images in a batch, SIDE x SIDE pixels in 0..1, Z numbers that stand for one.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.utils import save_image

import lilnetx_cli as lilnetx
from lilnetx_cli.data import load_splits

SIDE, Z, BATCH, RATE = 28, 16, 64, 2e-3


class Autoencoder(nn.Module):
    """Images (B, 1, SIDE, SIDE) to logits of pixels, means and log variances (B, Z)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(64, 128, 3, 2, 1), nn.ReLU(),
            nn.Flatten(), nn.Linear(128 * 16, 2 * Z),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(Z, 64 * 49), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)),
            nn.ConvTranspose2d(64, 64, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(32, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draws in training; in evaluation, the mean stands for an image."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        code = mean
        if self.training:
            code = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        return self.decoder(code), mean, log_variance


network = Autoencoder  # for lilnetx evaluate --model


def loss_of(model: nn.Module, images: Tensor) -> Tensor:
    """Return the negative ELBO of an image, in nats."""
    logits, mean, log_variance = model(images)
    wrong = F.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
    return (wrong + kl) / len(images)


def pixels(images: Tensor) -> Tensor:
    """Return images of any size and scale as (B, 1, SIDE, SIDE) in 0..1."""
    images = images.float() - images.amin((1, 2, 3), keepdim=True)
    images = images / images.amax((1, 2, 3), keepdim=True)
    return F.interpolate(images, (SIDE, SIDE), mode="bilinear")


@torch.no_grad()
def elbo(model: nn.Module, images: Tensor) -> float:
    """Return the ELBO of an image in nats, one draw for each."""
    model.train()  # it has no batch norms; this draws
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = [len(x) * float(loss_of(model, pixels(x))) for x in images.split(500)]
    model.eval()
    return -sum(parts) / len(images)


def metric(model: nn.Module, loader: object) -> dict[str, float]:
    """For lilnetx evaluate --metric; without --dataset on the digits."""
    batches = loader or [(load_splits("digits", None).test.images, None)]
    return {"elbo": elbo(model, torch.cat([images for images, _ in batches]))}


def train(
    model: nn.Module,
    images: Tensor,
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
    draw = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(images), (BATCH,), generator=draw)
        # Penalties are made for losses of about one nat.
        loss = loss_of(model, pixels(images[chosen])) / 100
        if compressor:
            loss = loss + compressor.penalty().total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def draw_sheet(model: nn.Module, images: Tensor) -> None:
    again = model(images)[0].sigmoid()
    made = model.decoder(torch.randn(3 * len(images), Z)).sigmoid()
    save_image(torch.cat([images, again, made]), "variational.png", nrow=len(images))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--target-size", type=int, default=80_000, help="bytes")
    parser.add_argument("--data-dir", type=Path, help="of Fashion-MNIST; else digits")
    parser.add_argument("--plain", action="store_true", help="also without compression")
    options = parser.parse_args()
    name = "fashion-mnist" if options.data_dir else "digits"
    splits = load_splits(name, options.data_dir)
    images, test = splits.train.images, splits.test.images
    torch.manual_seed(0)
    model, plain = network(), network()
    plain.load_state_dict(model.state_dict())
    dense = 4 * sum(parameter.numel() for parameter in model.parameters())
    if options.plain:
        train(plain, images, options.steps)
        print(f"plain: ELBO {elbo(plain, test):.2f} nats; ", end="", flush=True)
    inputs = pixels(images[:64])
    compressor = lilnetx.Compressor(
        model,
        inputs,
        steps=options.steps,
        target_size=options.target_size,
        start="random",
    )
    train(model, images, options.steps, compressor)
    size = lilnetx.save(compressor.finalize(), "variational.lnx")
    again = lilnetx.load_model("variational.lnx", model=network())
    found = elbo(again, test)
    draw_sheet(again, pixels(test[:12]))
    small = lilnetx.load_model(
        "variational.lnx", model=network(), pruned=True, inputs=(inputs[:2],)
    )
    left = 4 * sum(parameter.numel() for parameter in small.parameters())
    print(
        f"file: ELBO {found:.2f} nats, {size:,} bytes, float32 {dense:,},"
        f" {dense / size:.1f} times smaller; pruned: ELBO {elbo(small, test):.2f} nats"
        f" with {left / dense:.0%} of the parameters"
    )


if __name__ == "__main__":
    main()
