"""A small GPT on English text, through `Compressor`: bytes and perplexity.

    python -m tests.bench.language [--steps 300] [--target-size 20000]

The text is Python's own documentation, which every Python has (`pydoc_data.topics`);
its last tenth is for testing. The same training is done plain first. Perplexity is that
of a character.
"""

import argparse
import copy
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from pydoc_data import topics

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lilnetx_cli as lilnetx
import lnx

LENGTH, WIDTH, HEADS, DEPTH, BATCH = 64, 96, 4, 2, 32


class Block(nn.Module):
    """Causal attention, and two layers; B texts of T characters, D wide."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the next states, (B, T, D) in and out."""
        batch, length, width = x.shape
        heads = self.qkv(self.norms[0](x)).view(batch, length, 3, HEADS, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # (B, H, T, D / H) each
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norms[1](x))


class Language(nn.Module):
    """Characters to logits, (B, T) -> (B, T, characters); the head is tied."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, WIDTH)
        self.positions = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, characters, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits of the next character."""
        x = self.embedding(tokens) + self.positions[: tokens.shape[1]]
        return self.head(self.norm(self.blocks(x)))


def read_text() -> tuple[Tensor, int]:
    """Return the text as integers, and how many characters there are."""
    text = "\n".join(topics.topics[name] for name in sorted(topics.topics))
    known = {char: number for number, char in enumerate(sorted(set(text)))}
    return torch.tensor([known[char] for char in text]), len(known)


def drawn(tokens: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a batch of texts, and the same one character on."""
    starts = torch.randint(len(tokens) - LENGTH, (BATCH, 1), generator=generator)
    places = starts + torch.arange(LENGTH)
    return tokens[places], tokens[places + 1]


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the cross-entropy of a character, in nats."""
    return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())


@torch.no_grad()
def perplexity(model: nn.Module, tokens: Tensor) -> float:
    """Return the perplexity over 64 batches."""
    generator = torch.Generator().manual_seed(1)
    model.eval()
    losses = [float(loss_of(model, drawn(tokens, generator))) for _ in range(64)]
    model.train()
    return math.exp(sum(losses) / len(losses))


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    tokens: Tensor,
    steps: int,
    penalty: Callable[[], Tensor | float],
) -> float:
    """Take all steps; return the seconds of one."""
    generator = torch.Generator().manual_seed(0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups],
        total_steps=steps,
        cycle_momentum=False,
    )
    start = time.monotonic()
    for _ in range(steps):
        loss = loss_of(model, drawn(tokens, generator)) + penalty()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return (time.monotonic() - start) / steps


def tell(name: str, size: int, found: float) -> None:
    """Print a line of the table."""
    print(f"{name:34} {size:>9,} B   perplexity {found:6.3f}")


def main() -> None:
    """Train twice, and compare the files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--target-size", type=int, default=20_000)
    options = parser.parse_args()
    tokens, characters = read_text()
    learned, test = tokens[: -len(tokens) // 10], tokens[-len(tokens) // 10 :]
    torch.manual_seed(0)
    model = Language(characters)
    plain = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=3e-3)
    each = train(plain, optimizer, learned, options.steps, lambda: 0.0)
    dense = sum(p.nbytes for p in plain.parameters())
    tell("plain, float32", dense, perplexity(plain, test))
    inputs = drawn(learned, torch.Generator().manual_seed(2))[0]
    compressor = lilnetx.Compressor(
        model, inputs, steps=options.steps, start="random",
        target_size=options.target_size,
    )  # fmt: skip
    optimizer = torch.optim.AdamW(compressor.parameter_groups(lr=3e-3))
    compressor.attach(optimizer)
    every = train(
        model, optimizer, learned, options.steps, lambda: compressor.penalty().total
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.lnx"
        tell("save(model)", lilnetx.save(model, path), perplexity(model, test))
        final = lilnetx.finalize(model, inputs)
        tell(
            "save(finalize(model, inputs))",
            lilnetx.save(final, path),
            perplexity(final.model, test),
        )
        final = compressor.finalize()
        size = lilnetx.save(final, path)
        again = lilnetx.load_model(path, model=Language(characters))
        tell("save(compressor.finalize()), loaded", size, perplexity(again, test))
        exact = [t for t in lnx.summary(path).tensors if t.kind == "exact"]
    largest = max(exact, key=lambda tensor: tensor.bytes)
    print(f"largest tensor without latents: {largest.name}, {largest.bytes} B")
    print(f"seconds a step: {each:.3f} plain, {every:.3f} with the Compressor")


if __name__ == "__main__":
    main()
