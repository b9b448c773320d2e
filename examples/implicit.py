"""An image as a network that knows how bright each place is; its file holds the image.

    python examples/implicit.py --plain                # 64 digits side by side
    python examples/implicit.py --data-dir FOLDER      # 64 garments of Fashion-MNIST
    lilnetx evaluate implicit.lnx --model examples/implicit.py:network \\
        --metric examples/implicit.py:metric --input-shape 2

It writes implicit.lnx and implicit.png, the decoded image. --plain also trains without
compression, and tells what 8 bits and zstd make of that network.

Places enter as Fourier features (Tancik et al., https://arxiv.org/abs/2006.10739).
Legend: P pixels of the image.
"""

import argparse
import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import lilnetx_cli as lilnetx
from lilnetx_cli.compression.int8 import load_int8, save_int8
from lilnetx_cli.data import load_splits

ROWS, SIDE, WIDTH, DEPTH, FREQUENCY, BATCH = 8, 28, 96, 3, 25.0, 4096
# An image is learned to the last detail: rates are high for such a network.
RATE, LATENT_RATE = 1e-2, 0.1
SIZE = ROWS * SIDE  # of the image, in pixels


class Implicit(nn.Module):
    """Places (P, 2) in -1..1 to brightness (P, 1)."""

    def __init__(self) -> None:
        super().__init__()
        # Not learned and not in the file: any reader draws the same.
        waves = np.random.default_rng(0).normal(0, FREQUENCY, (2, WIDTH // 2))
        waves = torch.from_numpy(waves).float()
        self.register_buffer("waves", waves, persistent=False)
        layers = []
        for _ in range(DEPTH):
            layers += [nn.Linear(WIDTH, WIDTH), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(WIDTH, 1))

    def forward(self, x: Tensor) -> Tensor:
        angles = x @ self.waves
        return self.layers(torch.cat([angles.sin(), angles.cos()], 1))


network = Implicit  # for lilnetx evaluate --model


def mosaic(images: Tensor) -> Tensor:
    """Return ROWS x ROWS images side by side, as brightness (P, 1) in 0..1."""
    images = images[: ROWS * ROWS].float()
    images = (images - images.min()) / (images.max() - images.min())
    images = nn.functional.interpolate(images, (SIDE, SIDE), mode="bilinear")
    return images.view(ROWS, ROWS, SIDE, SIDE).transpose(1, 2).reshape(-1, 1)


def places() -> Tensor:
    """Return where each pixel is, (P, 2)."""
    line = torch.linspace(-1, 1, SIZE)
    return torch.cartesian_prod(line, line)


def psnr(found: Tensor, image: Tensor) -> float:
    return -10 * math.log10(float((found - image).square().mean()))


def drawn(model: nn.Module) -> Tensor:
    """Return what a network shows, rounded to bytes as in any image."""
    with torch.no_grad():
        return model(places()).clamp(0, 1).mul(255).round() / 255


def metric(model: nn.Module, loader: object) -> dict[str, float]:
    """For lilnetx evaluate --metric; without --dataset on the digits."""
    batches = loader or [(load_splits("digits", None).test.images, None)]
    image = mosaic(torch.cat([images for images, _ in batches]))
    return {"psnr": psnr(drawn(model), image)}


def picture(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.view(SIZE, SIZE).mul(255).byte().numpy())


def jpeg_bytes(image: Tensor, least: float) -> int:
    """Return the size of the smallest JPEG with at least some PSNR."""
    for quality in range(1, 101):
        file = io.BytesIO()
        picture(image).save(file, "JPEG", quality=quality, optimize=True)
        again = torch.tensor(list(Image.open(file).tobytes())).view(-1, 1) / 255
        if psnr(again, image) >= least:
            break
    return file.tell()


def train(
    model: nn.Module,
    image: Tensor,
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
    draw = torch.Generator().manual_seed(0)
    where = places()
    for _ in range(steps):
        chosen = torch.randint(len(where), (BATCH,), generator=draw)
        error = (model(where[chosen]) - image[chosen]).square().mean()
        loss = error.log()  # the logarithm is PSNR, in other units
        if compressor:
            loss = loss + compressor.penalty().total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--target-size", type=int, default=14_500, help="bytes")
    parser.add_argument("--data-dir", type=Path, help="of Fashion-MNIST; else digits")
    parser.add_argument("--plain", action="store_true", help="also without compression")
    options = parser.parse_args()
    name = "fashion-mnist" if options.data_dir else "digits"
    image = mosaic(load_splits(name, options.data_dir).test.images)
    torch.manual_seed(0)
    model, plain = network(), network()
    plain.load_state_dict(model.state_dict())
    dense = 4 * sum(parameter.numel() for parameter in model.parameters())
    if options.plain:
        train(plain, image, options.steps)
        size = save_int8(plain.state_dict(), Path("implicit.int8"))
        found = psnr(drawn(plain), image)
        plain.load_state_dict(load_int8(Path("implicit.int8")))
        print(
            f"plain: PSNR {found:.2f} dB, as int8 + zstd"
            f" {psnr(drawn(plain), image):.2f} dB in {size:,} bytes; ",
            end="", flush=True,
        )  # fmt: skip
    compressor = lilnetx.Compressor(
        model, places()[::29], steps=options.steps, start="random",
        target_size=options.target_size,
        tolerance=0.01,
    )  # fmt: skip
    train(model, image, options.steps, compressor)
    size = lilnetx.save(compressor.finalize(), "implicit.lnx")
    shown = drawn(lilnetx.load_model("implicit.lnx", model=network()))
    picture(shown).save("implicit.png")
    found = psnr(shown, image)
    print(
        f"file: PSNR {found:.2f} dB, {size:,} bytes, float32 {dense:,},"
        f" {dense / size:.1f} times smaller; JPEG of that PSNR:"
        f" {jpeg_bytes(image, found):,} bytes"
    )


if __name__ == "__main__":
    main()
