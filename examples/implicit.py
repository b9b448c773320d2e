"""A photo as a network that knows how bright each place is; its file holds the photo.

    python examples/implicit.py --plain                # a photo that matplotlib ships
    python examples/implicit.py --image photo.jpg      # yours
    lilnetx evaluate implicit.lnx --model examples/implicit.py:network \\
        --metric examples/implicit.py:metric --input-shape 2

It writes implicit.lnx and implicit.png, the decoded image. --plain also trains without
compression, and tells what 8 bits and zstd make of that network. The metric compares
with matplotlib's photo.

Grids of features, from coarse to fine, are read between their points and given to a
small network (Mueller et al., https://arxiv.org/abs/2201.05989, without its hashing).
Legend: P pixels of the image, F features of a grid.
"""

import argparse
import io
import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image
from torch import Tensor, nn

import lilnetx_cli as lilnetx
from lilnetx_cli.compression.int8 import load_int8, save_int8

GRIDS, FEATURES, WIDTH, BATCH = (16, 32, 64, 128), 2, 32, 8192
# An image is learned to the last detail: rates are high for such a network.
RATE, LATENT_RATE = 1e-2, 0.2
SIZE = 448  # of the image, in pixels
PHOTO = "grace_hopper.jpg"  # by the United States Navy, in the public domain


class Implicit(nn.Module):
    """Places (P, 2) in -1..1 to brightness (P, 1)."""

    def __init__(self) -> None:
        super().__init__()
        # A row of an embedding is the whole plane of one feature.
        self.grids = nn.ModuleList(nn.Embedding(FEATURES, side**2) for side in GRIDS)
        for grid in self.grids:
            nn.init.normal_(grid.weight, 0, 0.1)
        self.layers = nn.Sequential(
            nn.Linear(FEATURES * len(GRIDS), WIDTH), nn.ReLU(),
            nn.Linear(WIDTH, WIDTH), nn.ReLU(),
            nn.Linear(WIDTH, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        where = x.flip(1).view(1, 1, -1, 2)  # columns first
        found = []
        for side, grid in zip(GRIDS, self.grids, strict=True):
            planes = grid.weight.view(1, FEATURES, side, side)
            read = nn.functional.grid_sample(planes, where, align_corners=True)
            found.append(read[0, :, 0])  # (F, P)
        return self.layers(torch.cat(found).T)


network = Implicit  # for lilnetx evaluate --model


def brightness(path: str | Path) -> Tensor:
    """Return the upper left square of an image, (P, 1) in 0..1."""
    image = Image.open(path).convert("L")
    side = min(image.size)
    image = image.crop((0, 0, side, side)).resize((SIZE, SIZE))
    return torch.from_numpy(np.array(image)).view(-1, 1) / 255


def photo() -> Tensor:
    return brightness(get_sample_data(PHOTO, asfileobj=False))


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
    """For lilnetx evaluate --metric: PSNR of what the network shows, in dB."""
    del loader
    return {"psnr": psnr(drawn(model), photo())}


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
    parser.add_argument("--target-size", type=int, default=17_800, help="bytes")
    parser.add_argument("--image", type=Path, help="else a photo of matplotlib's")
    parser.add_argument("--plain", action="store_true", help="also without compression")
    options = parser.parse_args()
    image = brightness(options.image) if options.image else photo()
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
        growth=0.6, target_size=options.target_size,
        exclude=[nn.Linear], tolerance=0.003,  # few weights, and every place needs them
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
