"""Networks are compressed by what they compute on some inputs."""

import copy

import pytest
import torch
from torch import nn

import lnx
from lilnetx_cli.checkpoint import Checkpoint, pack, unpack
from lilnetx_cli.compression import Target, compress_container
from lilnetx_cli.compression.calibrated import round_network, study
from lilnetx_cli.compression.finishing import output_matrix, output_snr
from lilnetx_cli.compression.held_out import HeldOut
from lilnetx_cli.compression.norm_statistics import norm_statistics
from lilnetx_cli.compression.with_inputs import compress_with_inputs
from lilnetx_cli.data import load_splits
from lilnetx_cli.data.calibration import (
    calibration_of,
    checked_calls,
    half_labelled,
    in_calls,
)
from lilnetx_cli.errors import UsageError
from tests.compression.networks import Wide, digits, small, words_network
from tests.nn.making import fill, filled, numbers, words


def dense(network):
    return pack(Checkpoint(network.state_dict()))


def weights_of(network):
    return [k for k, v in network.state_dict().items() if v.dim() > 1]


def decoded(network, made):
    """Return a copy of a network with the tensors of a file."""
    container = lnx.loads(lnx.dumps(made.lossy.container))
    other = copy.deepcopy(network)
    other.load_state_dict(unpack(lnx.rebuild_all(container)))
    return other.eval()


def test_feedback_beats_plain_rounding_at_the_same_step():
    network, inputs = small()
    calls = in_calls(inputs, "here")
    known = study(network, weights_of(network), calls, recalibrate=False)
    rounded = round_network(known, 1e-4)
    plain = copy.deepcopy(network)
    state = plain.state_dict()
    for name, step in rounded.steps.items():
        state[name].copy_(torch.round(state[name] / step) * step)
    wanted = output_matrix(network, calls)
    found = [
        output_snr(wanted, output_matrix(n, calls)) for n in (rounded.network, plain)
    ]
    assert found[0] > found[1] + 3


def test_indices_and_steps_are_the_weights():
    network, inputs = small()
    before = copy.deepcopy(network.state_dict())
    known = study(network, weights_of(network), in_calls(inputs, "here"))
    rounded = round_network(known, 1e-4)
    for name, value in rounded.network.state_dict().items():
        if name in rounded.indices:
            indices = torch.from_numpy(rounded.indices[name])
            assert torch.equal(indices * rounded.steps[name], value)
    for name, value in network.state_dict().items():  # the dense one stays as it was
        assert torch.equal(value, before[name])
    assert not any(module.training for module in network.modules())


def test_batch_norms_are_measured_again_unless_told_not_to():
    network, inputs = small()
    calls = in_calls(inputs, "here")
    for recalibrate in (True, False):
        known = study(network, weights_of(network), calls, recalibrate=recalibrate)
        rounded = round_network(known, 1e-3).network
        same = torch.equal(rounded.norm.running_mean, network.norm.running_mean)
        assert same is not recalibrate
        assert int(rounded.norm.num_batches_tracked) >= 0


@pytest.mark.parametrize("share", [0.12, 0.2])
def test_a_size_is_met_from_below(share):
    network = digits()
    container = dense(network)
    size = int(share * len(lnx.dumps(container)))
    calls = calibration_of(load_splits("digits", None)).calls
    made = compress_with_inputs(container, network, calls, Target(size=size))
    assert 0.99 * size <= len(lnx.dumps(made.lossy.container)) <= size


def test_a_size_too_small_names_the_smallest():
    network, inputs = small()
    with pytest.raises(UsageError, match=r"is out of reach: the smallest takes [\d,]+"):
        compress_with_inputs(
            dense(network), network, in_calls(inputs, "here"), Target(size=300)
        )


def test_a_size_that_lossless_coding_meets_loses_nothing():
    network, inputs = small()
    container = dense(network)
    made = compress_with_inputs(
        container, network, in_calls(inputs, "here"), Target(size=10**6)
    )
    assert made.lossy.lossless
    assert made.lossy.container is container


@pytest.mark.parametrize("wanted", [12.0, 25.0, 40.0])
def test_outputs_are_as_close_as_asked_for(wanted):
    network, inputs = small()
    calls = in_calls(inputs, "here")
    made = compress_with_inputs(
        dense(network), network, calls, Target(output_snr=wanted)
    )
    assert wanted <= made.output_snr <= wanted + 3
    other = decoded(network, made)
    again = output_snr(output_matrix(network, calls), output_matrix(other, calls))
    assert again == pytest.approx(made.output_snr, abs=0.1)


def test_files_are_smaller_than_without_inputs():
    network = digits()
    container = dense(network)
    calls = calibration_of(load_splits("digits", None)).calls
    made = compress_with_inputs(container, network, calls, Target(output_snr=20))
    size = len(lnx.dumps(made.lossy.container))
    other = compress_container(container, Target(size=size))
    network_without = copy.deepcopy(network)
    network_without.load_state_dict(unpack(lnx.rebuild_all(other.container)))
    wanted = output_matrix(network, calls)
    assert output_snr(wanted, output_matrix(network_without, calls)) < 17


def test_tokens_recurrence_and_attention():
    network = words_network()
    calls = in_calls(words(48, 9, count=30), "here")
    container = dense(network)
    made = compress_with_inputs(container, network, calls, Target(output_snr=20))
    assert made.output_snr >= 20
    latents = [
        t.name for t in made.lossy.container.tensors if isinstance(t, lnx.Latent)
    ]
    assert set(latents) == set(weights_of(network))
    other = decoded(network, made)
    unused = network.unused.weight, other.unused.weight
    assert output_snr(*(w.detach() for w in unused)) > 10


def test_accuracy_is_kept_on_examples_that_the_search_did_not_use():
    network = digits()
    data = calibration_of(load_splits("digits", None))
    judge = HeldOut(data.labelled)
    assert judge.check(network) > 0.9
    made = compress_with_inputs(
        dense(network), network, data.calls, Target(drop=0.02), judge=judge
    )
    before, after = made.accuracy
    assert before == judge.check(network)
    assert after == judge.check(decoded(network, made)) >= before - 0.02
    assert len(lnx.dumps(made.lossy.container)) < 0.15 * len(lnx.dumps(dense(network)))


def test_halves_of_labelled_examples_are_apart():
    judge = HeldOut(calibration_of(load_splits("digits", None)).labelled)
    search, check = (set(half._chosen) for half in (judge._search, judge._check))
    assert min(len(search), len(check)) > 50
    assert not search & check


def test_exact_side_keeps_biases_and_batch_norms_to_the_bit():
    network, inputs = small()
    made = compress_with_inputs(
        dense(network),
        network,
        in_calls(inputs, "here"),
        Target(output_snr=20),
        exact_side=True,
    )
    other = decoded(network, made)
    for name, value in network.state_dict().items():
        if value.dim() < 2:
            assert torch.equal(other.state_dict()[name], value), name


def test_a_network_that_did_not_change_keeps_its_statistics():
    network, inputs = small()
    calls = in_calls(inputs[:40], "here")
    norms = norm_statistics(network, calls, on=True)
    other = copy.deepcopy(network)
    norms.settle(other)
    for name, value in network.state_dict().items():
        assert torch.allclose(other.state_dict()[name], value, rtol=1e-5), name


def test_statistics_follow_weights_that_changed():
    network, inputs = small()
    calls = in_calls(inputs, "here")
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.stem.weight.mul_(3)
    norm_statistics(network, calls, on=True).settle(other)
    wanted, found = output_matrix(network, calls), output_matrix(other, calls)
    assert output_snr(wanted, found) > 40


def test_long_biases_and_batch_norms_come_back_as_they_were_measured():
    inputs = numbers(48, 8, seed=2)
    network = filled(Wide(), 48, 8, seed=3).eval()
    calls = in_calls(inputs, "here")
    made = compress_with_inputs(dense(network), network, calls, Target(output_snr=20))
    other = decoded(network, made)
    again = output_snr(output_matrix(network, calls), output_matrix(other, calls))
    assert again == pytest.approx(made.output_snr, abs=1e-6)
    latents = {
        t.name for t in made.lossy.container.tensors if isinstance(t, lnx.Latent)
    }
    assert latents == {"mix.weight", "mix.bias", "head.weight"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("exact_side", [False, True])
def test_what_is_said_of_short_types_is_of_what_the_file_holds(dtype, exact_side):
    network, inputs = small()
    network.to(dtype).float()
    state = {k: v.to(dtype) if v.dim() else v for k, v in network.state_dict().items()}
    calls = in_calls(inputs, "here")
    made = compress_with_inputs(
        pack(Checkpoint(state)), network, calls, Target(output_snr=35),
        exact_side=exact_side,
    )  # fmt: skip
    other = decoded(network, made)
    again = output_snr(output_matrix(network, calls), output_matrix(other, calls))
    assert again == pytest.approx(made.output_snr, abs=1e-6)


@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.float16, 300.0), (torch.float32, 1e25)]
)
def test_inputs_whose_squares_are_beyond_a_type(dtype, size):
    network, inputs = small()
    network.to(dtype)
    calls = in_calls((inputs * size).to(dtype), "here")
    made = compress_with_inputs(dense(network), network, calls, Target(snr=30))
    assert made.lossy.snr >= 30


def test_the_state_of_a_recurrent_layer_is_no_row_of_outputs():
    layer = fill(nn.LSTM(6, 12, batch_first=True), seed=2).eval()
    calls = in_calls(numbers(40, 5, 6), "here")
    made = compress_with_inputs(dense(layer), layer, calls, Target(output_snr=20))
    assert made.output_snr >= 20
    with torch.no_grad():
        rows = calls[0].on(layer)[0].flatten(1)
    assert torch.equal(output_matrix(layer, calls), rows)


def test_outputs_that_are_no_numbers_have_no_snr():
    network, inputs = small()
    network.head.bias.data[0] = float("-inf")
    made = compress_with_inputs(
        dense(network), network, in_calls(inputs, "here"), Target(snr=30)
    )
    assert made.output_snr is None


class ChangesItsInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(12, 8)

    def forward(self, x):
        return self.head(x.mul_(2))


def test_a_network_that_changes_its_inputs_gets_the_same_ones_again():
    network, inputs = fill(ChangesItsInputs()).eval(), numbers(40, 12)
    before = inputs.clone()
    made = compress_with_inputs(
        dense(network), network, in_calls(inputs, "here"), Target(output_snr=20)
    )
    assert 20 <= made.output_snr < 24
    assert torch.equal(inputs, before)


def test_steps_of_weights_that_died_out_are_not_zero():
    network, inputs = small()
    with torch.no_grad():
        network.deep.weight.mul_(1e-41)
    known = study(network, weights_of(network), in_calls(inputs, "here"))
    rounded = round_network(known, 1e-12)
    assert rounded.steps["deep.weight"] > 0
    value = rounded.network.deep.weight
    assert (value - network.deep.weight).abs().max() <= rounded.steps["deep.weight"]


class NamesItsInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(12, 8)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        return self.norm(input=self.mix(x))


def test_batch_norms_that_are_called_with_a_named_input_follow():
    network = fill(NamesItsInput()).eval()
    calls = in_calls(numbers(40, 12), "here")
    made = compress_with_inputs(dense(network), network, calls, Target(output_snr=20))
    assert made.output_snr >= 20


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_inputs_come_to_the_cpu():
    inputs = numbers(40, 12).cuda()
    labels = torch.zeros(40, dtype=torch.int64).cuda()
    calls, examples = half_labelled(inputs, labels, "here")
    made = [*calls, *in_calls(inputs, "here"), *checked_calls([inputs], "here")]
    found = [tensor for call in made for tensor in call.args]
    assert all(x.is_cpu for x in (*found, *examples.__getitems__([0])))
