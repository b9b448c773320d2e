"""The method in a training loop of one's own: any network, any task loss."""

import torch
from torch import nn

import lilnetx_cli as lilnetx

STEPS = 300


def network() -> nn.Sequential:
    """A small regressor on curves of 32 points."""
    return nn.Sequential(
        nn.Conv1d(1, 16, 5, padding=2), nn.ReLU(),
        nn.Conv1d(16, 16, 5, padding=2), nn.ReLU(),
        nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(64, 1),
    )  # fmt: skip


def curves(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sines of random frequency, and that frequency."""
    frequency = 1 + 4 * torch.rand(count, 1)
    time = torch.linspace(0, 6.28, 32)
    return torch.sin(frequency * time)[:, None], frequency


def main() -> None:
    torch.manual_seed(0)
    model, (inputs, _) = network(), curves(256)
    # From scratch. A trained network keeps what it computes without start="random".
    compressor = lilnetx.Compressor(
        model, inputs, steps=STEPS, start="random", target_size=500
    )
    optimizer = torch.optim.Adam(compressor.parameter_groups(lr=0.01))
    compressor.attach(optimizer)
    for step in range(STEPS):
        batch, target = curves(64)
        task = nn.functional.mse_loss(model(batch), target)
        terms = compressor.penalty()
        optimizer.zero_grad()
        (task + terms.total).backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"{step}: {task:.3f}, {terms.bits_per_weight:.2f} bits per weight")
    final = compressor.finalize()
    size = lilnetx.save(final, "curves.lnx")
    again = lilnetx.load_model("curves.lnx", model=network())
    test, target = curves(1000)
    error = nn.functional.mse_loss(again(test), target)
    same = torch.equal(final.model(test), again(test))
    print(f"curves.lnx: {size} bytes, error {error:.3f}, decoded network equal: {same}")
    if not same:
        raise SystemExit("the decoded network differs")


if __name__ == "__main__":
    main()
