import torch

from lilnetx_cli.nn import add_uniform_noise, round_ste


def test_rounding_forward_and_identity_backward():
    latent = torch.tensor([-1.5, -0.4, 0.5, 0.6, 2.5], requires_grad=True)
    rounded = round_ste(latent)
    assert rounded.tolist() == [-2, 0, 0, 1, 2]
    weights = torch.arange(5.0)
    (rounded * weights).sum().backward()
    assert torch.equal(latent.grad, weights)


def test_noise_is_uniform_and_passes_gradients():
    torch.manual_seed(0)
    latent = torch.zeros(100_000, requires_grad=True)
    noisy = add_uniform_noise(latent)
    assert float(noisy.detach().abs().max()) <= 0.5
    assert abs(float(noisy.detach().var()) - 1 / 12) < 1e-3
    noisy.sum().backward()
    assert torch.equal(latent.grad, torch.ones(100_000))
