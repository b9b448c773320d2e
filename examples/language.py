"""A small GPT that continues English text, judged by its perplexity.

    python examples/language.py --plain                   # Python's own documentation
    python examples/language.py --text FILE               # any text
    lilnetx evaluate language.lnx --model examples/language.py:network \\
        --metric examples/language.py:metric --input-shape 64:int64

It writes language.lnx, and prints what the decoded file says. The last tenth of the
text is for testing.

Legend: B texts of T characters, D numbers for each, H heads.
"""

import argparse
import math
from pathlib import Path
from pydoc_data import topics

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lilnetx_cli as lilnetx

LENGTH, WIDTH, HEADS, DEPTH, BATCH, RATE = 64, 96, 4, 2, 32, 3e-3
CHARACTERS = 128  # those of ASCII; any other is read as a question mark


class Block(nn.Module):
    """Causal attention, then two layers; states (B, T, D) in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        heads = self.qkv(self.norms[0](x)).view(batch, length, 3, HEADS, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # (B, H, T, D / H) each
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norms[1](x))


class Language(nn.Module):
    """Characters (B, T) to logits of the next (B, T, CHARACTERS); the head is tied."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CHARACTERS, WIDTH)
        self.positions = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, CHARACTERS, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        states = self.embedding(x) + self.positions[: x.shape[1]]
        return self.head(self.norm(self.blocks(states)))


network = Language  # for lilnetx evaluate --model


def characters(path: Path | None) -> tuple[Tensor, Tensor]:
    """Return the text to learn and the text to test, one number a character."""
    pages = (topics.topics[name] for name in sorted(topics.topics))
    text = path.read_text("utf-8") if path else "\n".join(pages)
    numbers = torch.tensor(list(text.encode("ascii", "replace")))
    return numbers[: -len(numbers) // 10], numbers[-len(numbers) // 10 :]


def drawn(text: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return a batch of texts, (B, T), and the same one character on."""
    draw = torch.Generator().manual_seed(seed)
    starts = torch.randint(len(text) - LENGTH, (BATCH, 1), generator=draw)
    places = starts + torch.arange(LENGTH)
    return text[places], text[places + 1]


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the cross-entropy of a character, in nats."""
    return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())


@torch.no_grad()
def perplexity(model: nn.Module, text: Tensor) -> float:
    """Return the perplexity of a character, over 64 batches."""
    model.eval()
    losses = [float(loss_of(model, drawn(text, -1 - part))) for part in range(64)]
    return math.exp(sum(losses) / len(losses))


def metric(model: nn.Module, loader: object) -> dict[str, float]:
    """For lilnetx evaluate --metric, on Python's own documentation."""
    del loader
    return {"perplexity": perplexity(model, characters(None)[1])}


@torch.no_grad()
def go_on(model: nn.Module, start: str, count: int = 60) -> str:
    """Return a text, continued by characters that the network draws."""
    numbers = torch.tensor(list(start.encode("ascii")))
    for _ in range(count):
        chances = (model(numbers[None, -LENGTH:])[0, -1] / 0.7).softmax(0)
        numbers = torch.cat([numbers, torch.multinomial(chances, 1)])
    return bytes(numbers.tolist()).decode("ascii")


def train(
    model: nn.Module,
    text: Tensor,
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
        loss = loss_of(model, drawn(text, step))
        if compressor:
            loss = loss + compressor.penalty().total
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--target-size", type=int, default=64_500, help="bytes")
    parser.add_argument("--text", type=Path, help="a text; else Python's documentation")
    parser.add_argument("--plain", action="store_true", help="also without compression")
    options = parser.parse_args()
    text, test = characters(options.text)
    torch.manual_seed(0)
    model, plain = network(), network()
    plain.load_state_dict(model.state_dict())
    dense = 4 * sum(parameter.numel() for parameter in model.parameters())
    if options.plain:
        train(plain, text, options.steps)
        print(f"plain: perplexity {perplexity(plain, test):.3f}; ", end="", flush=True)
    compressor = lilnetx.Compressor(
        model,
        drawn(text, -1)[0],
        steps=options.steps,
        target_size=options.target_size,
        start="random",
    )
    train(model, text, options.steps, compressor)
    size = lilnetx.save(compressor.finalize(), "language.lnx")
    again = lilnetx.load_model("language.lnx", model=network())
    print(
        f"file: perplexity {perplexity(again, test):.3f}, {size:,} bytes,"
        f" float32 {dense:,}, {dense / size:.1f} times smaller"
    )
    print(go_on(again, "The statement "))


if __name__ == "__main__":
    main()
