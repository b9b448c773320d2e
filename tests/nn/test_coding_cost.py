import torch
from torch import nn
from torch.autograd import gradgradcheck

from lilnetx_cli.nn import latent_weights, penalty, reparameterize
from lilnetx_cli.nn.coding_cost import relative_costs, slice_norms


def half_busy():
    """Slices of 3x3: the upper left quarter is full, the rest nearly empty."""
    latent = torch.zeros(8, 6, 3, 3)
    latent[:4, :3] = 2.0
    latent[6, 5, 1, 1] = 1.0
    return latent


def test_a_slice_among_others_is_cheap_and_a_lonely_one_costs():
    costs = relative_costs(half_busy()).reshape(8, 6)
    assert costs[:4, :3].max() < costs[:4, 3:].min()
    assert costs[6, 5] > 2 * costs[0, 0]
    assert torch.allclose(costs.mean(), torch.tensor(1.0))


def test_slices_alike_cost_alike():
    for latent in (torch.zeros(4, 5, 3, 3), torch.ones(4, 5), torch.zeros(7)):
        costs = relative_costs(latent)
        assert costs.shape == (latent.numel() if latent.dim() < 3 else 20,)
        assert torch.allclose(costs, torch.ones_like(costs))


def test_a_kernel_and_its_single_numbers_agree():
    latent = half_busy()
    assert torch.equal(relative_costs(latent[:, :, 1, 1]), relative_costs(latent))


def test_only_gradients_of_norms_are_weighed():
    rows = torch.tensor([[3.0, 4.0], [0.0, -2.0], [0.0, 0.0]], requires_grad=True)
    squares, norms = slice_norms(rows, torch.tensor([2.0, 0.5, 1.0]))
    assert squares == 29
    assert norms == 7
    (0.5 * squares + 10 * norms).backward()
    wanted = torch.tensor([[3 + 12.0, 4 + 16.0], [0.0, -2 - 5.0], [0.0, 0.0]])
    assert torch.allclose(rows.grad, wanted)


def test_the_slice_prior_presses_by_cost():
    """A network of one weight: what presses a slice is its cost, and nothing else."""
    model = reparameterize(nn.Sequential(nn.Conv2d(6, 8, 3, bias=False)))
    ((_, _, latent),) = latent_weights(model)
    with torch.no_grad():
        latent.copy_(half_busy())
    penalty(model, rate_weight=0.0, slice_weight=1.0).total.backward()
    pressed = latent.grad.flatten(2).norm(dim=2).flatten()
    alive = half_busy().flatten(2).any(2).flatten()
    expected = relative_costs(latent) / (8 * 6)
    assert torch.allclose(pressed[alive], expected[alive], rtol=1e-4)
    assert not pressed[~alive].any()


def test_gradients_of_gradients():
    rows = torch.tensor([[3.0, 4.0], [1.0, -2.0]]).double().requires_grad_()
    costs = torch.ones(2).double()
    assert gradgradcheck(lambda x: slice_norms(x, costs), rows)
