"""Rounding with error feedback."""

import pytest
import torch

from lilnetx_cli.quantization.feedback import (
    DAMPING,
    damped,
    feedback_factor,
    round_with_feedback,
    shifted,
)
from tests.nn.making import numbers

STEP = 0.25


def moments_of(inputs):
    return inputs.T @ inputs / len(inputs)


def alike(count=400, width=90):
    """Inputs whose columns are much alike."""
    few = numbers(count, 6, seed=1) @ numbers(6, width, seed=2)
    return few + 0.1 * numbers(count, width, seed=3)


def test_the_factor_is_that_of_the_inverse():
    moments = moments_of(alike())
    factor = feedback_factor(moments)
    assert torch.equal(factor, factor.triu())
    product = factor.T @ factor @ damped(moments)
    assert torch.allclose(product, torch.eye(90).double(), atol=1e-6)


def test_apart_columns_are_rounded_each_by_itself():
    weights = numbers(5, 70)
    found = round_with_feedback(weights, feedback_factor(torch.eye(70)), STEP)
    assert torch.equal(found, torch.round(weights / STEP).int())


@pytest.mark.parametrize("width", [1, 64, 65, 90])
def test_outputs_change_far_less_than_by_plain_rounding(width):
    inputs, weights = alike(width=width), numbers(20, width)
    factor = feedback_factor(moments_of(inputs))
    found = round_with_feedback(weights, factor, STEP) * STEP
    plain = torch.round(weights / STEP) * STEP
    lost, before = ((w - weights) @ inputs.T for w in (found, plain))
    share = float(lost.square().sum() / before.square().sum())
    assert share < (0.3 if width > 6 else 1.001)


def test_other_inputs_are_made_up_for():
    inputs, weights = numbers(500, 12), numbers(7, 12, seed=4)
    turn = torch.eye(12) + 0.2 * numbers(12, 12, seed=5)
    others = inputs @ turn
    cross = inputs.T @ others / len(inputs)
    moments = moments_of(others).double()
    factor = feedback_factor(moments)
    made = shifted(weights.double(), moments, cross.double(), factor)
    before = (weights @ inputs.T - weights @ others.T).square().sum()
    after = (weights @ inputs.T - made.float() @ others.T).square().sum()
    assert after < 0.1 * before


def test_the_same_inputs_shift_nothing():
    moments = moments_of(alike()).double()
    weights = numbers(4, 90).double()
    factor = feedback_factor(moments)
    assert torch.allclose(shifted(weights, moments, moments, factor), weights)


@pytest.mark.parametrize("dead", [slice(0, 3), slice(0, 12)])
def test_columns_that_no_input_reaches_are_rounded_plainly(dead):
    inputs = numbers(300, 12)
    inputs[:, dead] = 0
    weights = numbers(6, 12, seed=6)
    found = round_with_feedback(weights, feedback_factor(moments_of(inputs)), STEP)
    plain = torch.round(weights / STEP).int()
    assert torch.equal(found[:, dead], plain[:, dead])


def test_damping_is_a_share_of_the_mean():
    moments = torch.diag(torch.tensor([1.0, 3.0, 0.0]))
    mean = 4 / 3
    wanted = [1 + DAMPING * mean, 3 + DAMPING * mean, mean]
    assert torch.allclose(damped(moments).diagonal(), torch.tensor(wanted).double())
