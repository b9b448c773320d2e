"""Norms and biases as multiples of powers of two, as few bits as the outputs allow."""

import numpy as np
import pytest
import torch
from torch import nn

from lilnetx_cli.calls import Call
from lilnetx_cli.nn.batch_norm import fold_batch_norms
from lilnetx_cli.nn.side_rounding import relative_change, round_side
from lilnetx_cli.quantization.side import round_side_to_steps, round_side_unprobed
from lnx.tensors.fixed_point import to_fixed
from tests.nn.making import filled, lively, numbers


def network(classes=4):
    """A network with batch norms and biases, folded as a finished one is."""
    model = nn.Sequential(
        nn.Conv2d(3, 12, 3, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
        nn.Conv2d(12, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten(),
        nn.Linear(12 * 9, classes),
    )  # fmt: skip
    model = filled(model, 32, 3, 7, 7).eval()
    fold_batch_norms(model)
    return model


def images():
    return numbers(96, 3, 7, 7, seed=5)


def side_of(model):
    return {n: p.detach() for n, p in model.named_parameters() if p.dim() == 1}


def bits_of(model):
    """Return the entropy of all multiples under a table of each tensor, in bits."""
    total = 0.0
    for parameter in side_of(model).values():
        fixed = to_fixed(parameter.numpy().view(np.uint8))
        assert fixed is not None
        _, counts = np.unique(fixed[1], return_counts=True)
        total += float((counts * np.log2(counts.sum() / counts)).sum())
    return total


@pytest.mark.parametrize("classes", [4, 40])
@pytest.mark.parametrize("tolerance", [0.1, 0.02, 0.004])
def test_the_outputs_stay_within_the_tolerance(tolerance, classes):
    model, x = network(classes), images()
    before = model(x).detach()
    assert lively(before)
    round_side_to_steps(model, [Call((x,))], tolerance)
    assert 0 < relative_change(model(x).detach(), before) <= tolerance
    assert bits_of(model) > 0


class Steep(nn.Module):
    """No rounding of its bias is fine enough."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x):
        return self.layer(x).mul(1e7).softmax(-1)


@pytest.mark.parametrize("steep", [False, True])
def test_where_no_step_is_fine_enough_everything_stays(steep):
    model = filled(Steep(), 32, 6) if steep else network()
    x = numbers(96, 6) if steep else images()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    round_side_to_steps(model, [Call((x,))], 1e-6 if steep else 0.0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_larger_tolerance_takes_fewer_bits():
    found = []
    for tolerance in (0.1, 0.02, 0.004):
        model = network()
        round_side_to_steps(model, [Call((images(),))], tolerance)
        found.append(bits_of(model))
    assert found[0] < found[1] < found[2]


@pytest.mark.parametrize("tolerance", [0.1, 0.02, 0.004])
def test_numbers_make_up_for_each_other(tolerance):
    """What the largest steps change is below what the same steps change alone."""
    model, x = network(), images()
    kept = {name: p.clone() for name, p in side_of(model).items()}
    before = model(x).detach()
    round_side_to_steps(model, [Call((x,))], tolerance)
    with_feedback = relative_change(model(x).detach(), before)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in kept:
                fixed = to_fixed(parameter.numpy().view(np.uint8))
                step = 2.0 ** fixed[0]
                parameter.copy_(torch.round(kept[name] / step) * step)
    alone = relative_change(model(x).detach(), before)
    assert with_feedback < 0.9 * alone


def test_networks_without_derivatives_have_steps_that_fit_each_tensor():
    class Counted(nn.Module):
        def forward(self, x):
            return x * float(x.mean() > -100)  # no derivative passes through float()

    model, x = network(), images()
    model.append(Counted())
    before = model(x).detach()
    round_side_to_steps(model, [Call((x,))], 0.02)
    assert 0 < relative_change(model(x).detach(), before) <= 0.02
    plain = network()
    round_side(plain, lambda net: net(x).detach(), 0.02)
    assert bits_of(model) < bits_of(plain)


def test_a_network_without_float_outputs_keeps_mantissa_bits():
    class Classes(nn.Module):
        def forward(self, x):
            return x.argmax(1)

    model, other = network(), network()
    round_side_to_steps(model.append(Classes()), [Call((images(),))], 0.02)
    round_side(other, lambda _: None, 0.02)
    for one, two in zip(side_of(model).values(), side_of(other).values(), strict=True):
        assert torch.equal(one, two)


def test_without_images_steps_fit_the_size_of_each_tensor():
    model = network()
    with torch.no_grad():
        model[1].weight.mul_(2.0**-20)
        model[4].bias.zero_()
    before = {name: p.clone() for name, p in side_of(model).items()}
    round_side_unprobed(model)
    for name, after in side_of(model).items():
        error = (after - before[name]).square().mean().sqrt()
        assert float(error) <= 2.0**-3 * float(before[name].square().mean().sqrt())
        assert to_fixed(after.numpy().view(np.uint8)) is not None


def test_a_network_without_norms_and_biases_stays():
    model = filled(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 3, bias=False)), 4, 3, 2, 2
    )
    before = model[1].weight.clone()
    round_side_to_steps(model, [Call((numbers(4, 3, 2, 2),))], 0.02)
    assert torch.equal(model[1].weight, before)
