import pytest
import torch
from torch.autograd import gradcheck

from lilnetx_cli.nn import FactorizedDensity
from lilnetx_cli.nn.density import _GridSum
from tests.nn.making import numbers


def density(dimensions=3, seed=0, spread=1.0):
    made = FactorizedDensity(dimensions)
    with torch.no_grad():
        for number, parameter in enumerate(made.parameters()):
            draw = numbers(*parameter.shape, seed=10 * seed + number)
            parameter.copy_(spread * draw)
    return made


def test_cumulative_function_increases():
    x = torch.linspace(-20, 20, 2001)[:, None].expand(-1, 3)
    for seed in range(5):
        logits = density(seed=seed).double().logits(x.double())
        assert bool((logits.diff(dim=0) > 0).all())


def test_probabilities_of_all_integers_sum_to_one():
    integers = torch.arange(-3000.0, 3001)[:, None].expand(-1, 3).double()
    made = density(spread=0.3).double()
    total = (2.0 ** -made.bits(integers)).sum(0)
    assert torch.allclose(total, torch.ones(3).double(), atol=1e-6)


def test_tails_do_not_cancel():
    made = density(1, spread=0.0)
    with torch.no_grad():
        made.slope.add_(1.0)
    far = torch.tensor([[-30.0], [30.0]])
    bits = made.bits(far)
    exact = made.double().bits(far.double())
    assert torch.allclose(bits.double(), exact, rtol=1e-3)
    assert bool((exact > 10).all())


def test_gradients_of_the_density():
    made = density().double()
    x = numbers(7, 3).double().requires_grad_()
    parameters = list(made.parameters())

    def bits(x, *_):
        return made.bits(x)

    assert gradcheck(bits, (x, *parameters), atol=1e-6)


@pytest.mark.parametrize("mean", [False, True])
def test_grid_is_the_function(mean):
    made = density(9)
    x = (2 * numbers(4000, 9)).requires_grad_()
    fast = made.total_bits(x, mean=mean)
    slow = (made.mean_bits if mean else made.bits)(x).sum()
    assert abs(float((fast - slow).detach())) / x.numel() < 0.005
    by_grid = torch.autograd.grad(fast, [x, *made.parameters()])
    by_function = torch.autograd.grad(slow, [x, *made.parameters()])
    for one, other in zip(by_grid, by_function, strict=True):
        assert float((one - other).norm() / other.norm()) < 0.05


def test_mean_bits_are_those_of_noise():
    made = density(2, spread=2.0).double()
    x = (2 * numbers(20, 2)).double()
    noise = (torch.arange(4000).double() + 0.5) / 4000 - 0.5
    wanted = made.bits(x + noise[:, None, None]).mean(0)
    assert torch.allclose(made.mean_bits(x), wanted, atol=0.01)


def test_gradients_of_the_grid():
    """A straight line is known exactly, but for where next to a point a number is."""
    lines = torch.tensor([[3.0, -1.0, 0.5]])
    marks = torch.linspace(-2, 2, 129)[:, None]
    grid = (marks * lines).requires_grad_()
    x = (1.4 * numbers(200, 3, seed=1).tanh()).requires_grad_()
    found = _GridSum.apply(x, grid, -2.0)
    nearest = (x.detach() * 32 + 0.5).floor() / 32
    assert torch.allclose(found, (nearest * lines).sum(), rtol=1e-4)
    (2 * found).backward()
    assert torch.allclose(x.grad, 2 * lines.expand_as(x), atol=1e-4)
    assert torch.allclose((grid.grad * marks).sum(0), (2 * nearest).sum(0), atol=1e-3)


def test_integers_are_exact_on_the_grid():
    made = density(3)
    x = (3 * numbers(4000, 3)).round()
    assert torch.allclose(made.total_bits(x), made.bits(x).sum(), rtol=1e-5)


@pytest.mark.parametrize("mean", [False, True])
def test_no_latents_and_no_numbers(mean):
    made = density(1)
    assert float(made.total_bits(torch.zeros(0, 1), mean=mean).detach()) == 0
    assert bool(made.total_bits(torch.full((5, 1), torch.nan), mean=mean).isnan())


@pytest.mark.parametrize("mean", [False, True])
def test_far_latents_take_the_function_itself(mean):
    """A few of them do not take the grid from the others, nor NaN from anyone."""
    made = density(3)
    near, far = numbers(20_000, 3), torch.tensor([[0.0, 5000.0, 1.0], [-200.0, 0, 0]])
    calls = []
    bits = made.bits
    made.bits = lambda x: calls.append(len(x)) or bits(x)
    found = made.total_bits(torch.cat([far[:1], near, far[1:]]), mean=mean)
    assert torch.allclose(found, made.total_bits(near, mean=mean) + bits(far).sum())
    assert max(calls) < 1000
    broken = torch.cat([near, far, far * torch.nan])
    assert made.total_bits(broken, mean=mean).isnan()


def test_rows_of_wide_latents_do_not_multiply_the_work():
    """33 times as many numbers are for few rows alone."""
    made = density(2)
    sizes = []
    bits = made.bits
    made.bits = lambda x: sizes.append(x.numel()) or bits(x)
    x = 40 * numbers(3000, 2).clamp(-3, 3)
    assert torch.allclose(
        made.total_bits(x, mean=True), made.mean_bits(x).sum(), rtol=1e-3
    )
    assert sizes[0] < 5 * x.numel() < sizes[1]
