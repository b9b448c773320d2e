import torch

from lilnetx_cli.nn import round_ste


def test_rounding_forward_and_identity_backward():
    latent = torch.tensor([-1.5, -0.4, 0.5, 0.6, 2.5], requires_grad=True)
    rounded = round_ste(latent)
    assert rounded.tolist() == [-2, 0, 0, 1, 2]
    weights = torch.arange(5.0)
    (rounded * weights).sum().backward()
    assert torch.equal(latent.grad, weights)
