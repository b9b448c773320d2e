import copy

import pytest
import torch
from torch import nn

from lilnetx_cli.nn import materialize, reparameterize
from lilnetx_cli.nn.batch_norm import calibrate_batch_norms, fold_batch_norms
from lilnetx_cli.nn.latents import latent_groups
from lilnetx_cli.nn.side_rounding import round_mantissa, round_side, with_short_decoders
from lnx.parts.blocks import pack_decoders
from tests.nn.making import fill, lively, numbers


def network():
    """A network whose batch norms have seen something of their own."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, eps=1e-3), nn.ReLU(),
        nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
        nn.Linear(72, 4),
    )  # fmt: skip
    fill(model)
    for number, norm in enumerate((model[1], model[4])):
        norm.running_mean.copy_(numbers(8, seed=number))
        norm.running_var.copy_(0.1 + numbers(8, seed=number + 2).square())
    return model


def images():
    return numbers(5, 3, 7, 7)


def test_folding_keeps_the_outputs():
    model, x = network().eval(), images()
    before = model(x)
    assert lively(before)
    fold_batch_norms(model)
    assert torch.allclose(model(x), before, atol=1e-4)
    for norm in (model[1], model[4]):
        assert not bool(norm.running_mean.any())
        assert bool((norm.running_var == 1).all())


def test_a_channel_that_never_varied_costs_no_scale():
    model = network().eval()
    with torch.no_grad():
        model[0].weight[3] = 0
        model[1].running_mean[3] = 0
        model[1].running_var[3] = 0
    x = images()
    before = model(x)
    assert lively(before)
    fold_batch_norms(model)
    assert not bool(model[1].weight[3])
    assert torch.allclose(model(x), before, atol=1e-4)


def test_a_constant_that_is_not_zero_is_kept():
    model = fill(nn.Sequential(nn.Conv1d(1, 2, 1), nn.BatchNorm1d(2))).eval()
    with torch.no_grad():
        model[0].weight.zero_()
        model[1].running_mean.copy_(model[0].bias)
        model[1].running_var.zero_()
        model[1].bias.copy_(torch.tensor([0.2, -0.4]))
    x = numbers(3, 1, 4)
    before = model(x)
    assert lively(before)
    fold_batch_norms(model)
    assert torch.allclose(model(x), before, atol=1e-4)


def test_tiny_decoders_keep_their_precision():
    model = reparameterize(network())
    with torch.no_grad():
        for group in latent_groups(model).values():
            group.step.mul_(1e-7)
    before = [group.decoder.clone() for group in latent_groups(model).values()]
    after = latent_groups(with_short_decoders(model)).values()
    for one, other in zip(before, after, strict=True):
        change = (one - other.decoder).norm()
        assert float(change.detach()) <= 2.0**-7 * float(one.detach().norm())


def test_norms_without_statistics_or_scale_are_left():
    model = nn.Sequential(
        nn.BatchNorm1d(4, affine=False), nn.BatchNorm1d(4, track_running_stats=False)
    )
    before = copy.deepcopy(model.state_dict())
    fold_batch_norms(model)
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_calibration_is_a_plain_average():
    model = nn.Sequential(nn.BatchNorm1d(3))
    batches = [numbers(50, 3, seed=seed) * 3 + 1 for seed in range(4)]
    calibrate_batch_norms(model, batches)
    means = torch.stack([batch.mean(0) for batch in batches]).mean(0)
    assert torch.allclose(model[0].running_mean, means, atol=1e-5)
    assert model[0].momentum == 0.1
    assert model.training


def test_a_batch_counts_by_its_images():
    one, other = (nn.Sequential(nn.BatchNorm1d(3)) for _ in range(2))
    images = numbers(100, 3) * 3 + 1
    calibrate_batch_norms(one, [images])
    calibrate_batch_norms(other, [images[:96], images[96:]])
    assert torch.allclose(one[0].running_mean, other[0].running_mean, atol=1e-5)
    ratio = other[0].running_var / one[0].running_var
    assert torch.allclose(ratio, torch.ones(3), atol=0.05)


def test_norms_that_are_to_stay_are_neither_measured_nor_folded():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    for norm in model:
        norm.running_mean.copy_(numbers(3, seed=1))
        norm.running_var.fill_(4.0)
    calibrate_batch_norms(model, [numbers(50, 3)], [model[0]])
    fold_batch_norms(model, [model[0]])
    assert torch.equal(model[0].running_mean, numbers(3, seed=1))
    assert bool((model[0].running_var == 4).all() and (model[0].weight == 1).all())
    assert bool((model[1].running_var == 1).all() and (model[1].weight != 1).all())


@pytest.mark.parametrize("bits", [3, 7, 10])
def test_mantissa_has_so_many_bits(bits):
    values = numbers(1000)
    rounded = round_mantissa(values, bits)
    error = ((rounded - values) / values).abs()
    assert float(error.max()) <= 2.0 ** -(bits + 1)
    assert torch.equal(rounded, rounded.half().float())
    assert torch.equal(round_mantissa(rounded, bits), rounded)


def test_mantissa_leaves_what_float16_does_not_reach():
    values = torch.tensor([1e6, -1e9, 0.0, 1e-12])
    rounded = round_mantissa(values, 5)
    assert rounded[0] == 1e6
    assert rounded[1] == -1e9
    assert rounded[2] == 0


def test_side_is_rounded_as_far_as_outputs_allow():
    x = numbers(20, 3, 7, 7)
    found = {}
    for tolerance in (0.3, 0.01, 0.001):
        model = network().eval()
        before = model(x)
        assert lively(before)
        found[tolerance] = round_side(model, lambda net: net(x), tolerance)
        change = (model(x) - before).square().mean().sqrt()
        assert float(change.detach()) <= tolerance * float(
            before.detach().square().mean().sqrt()
        )
    assert found[0.3] < found[0.01] <= found[0.001]
    assert round_side(network(), lambda _: None, 0.1) == 10


def test_short_decoders_take_few_bytes_and_the_original_stays():
    model = reparameterize(network())
    before = copy.deepcopy(model.state_dict())
    short = with_short_decoders(model)
    for group in latent_groups(short).values():
        decoder = group.decoder.detach().numpy()
        stored = len(pack_decoders([decoder]).stored)
        assert stored <= 7 + decoder.size + (decoder.size == 1)
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    materialize(model)
