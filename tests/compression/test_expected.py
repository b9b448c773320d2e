"""What a file would take is close to what it takes."""

import numpy as np
import pytest
import torch

import lnx
from lilnetx_cli.checkpoint import Checkpoint, LatentEntry, pack
from lilnetx_cli.compression import Target, compress_container, expected
from lilnetx_cli.compression.expected import expect


def laplace(seed, *shape):
    values = np.random.default_rng(seed).laplace(size=shape)
    return torch.from_numpy(values.astype(np.float32))


def convolutions():
    state = {}
    for n, width in enumerate((16, 32, 64)):
        state[f"{n}.weight"] = 0.1 * (n + 1) * laplace(n, width, 32, 3, 3)
        state[f"{n}.bias"] = laplace(n, width)
        state[f"{n}.running_var"] = laplace(n, width).abs()
        state[f"{n}.num_batches_tracked"] = torch.tensor(100 + n)
    return state


def transformer():
    table = laplace(0, 500, 64)
    scale = torch.arange(1, 257)[:, None] / 64
    return {
        "embedding.weight": table,
        "position": 0.02 * laplace(1, 1, 70, 64),
        "layer.weight": (laplace(2, 256, 64) * scale).bfloat16(),
        "norm.weight": laplace(3, 64),
        "ids": torch.arange(3000),
        "head.weight": table,
    }


def pruned():
    weight = laplace(0, 800, 75)
    weight[::2] = 0
    broken = laplace(1, 40, 50)
    broken[0, 0] = torch.nan
    return {
        "w": weight,
        "broken": broken,
        "same": torch.ones(300),
        "f": weight[:9].half(),
    }


STATES = {f.__name__: f for f in (convolutions, transformer, pruned)}


@pytest.mark.parametrize("rows", ["all", "some"])
@pytest.mark.parametrize("name", STATES)
def test_the_estimate_is_within_three_percent(monkeypatch, name, rows):
    checkpoint = Checkpoint(STATES[name]())
    if rows == "some":
        monkeypatch.setattr(expected, "SAMPLE_CELLS", 20_000)
        monkeypatch.setattr(expected, "LEAST_SAMPLED", 2000)
    found = expect(checkpoint)
    made = compress_container(pack(checkpoint), Target(snr=40)).container
    assert found.file_bytes == pytest.approx(len(lnx.dumps(made)), rel=0.03)
    assert found.sampled == (rows == "some")
    assert set(found.tensor_bytes) == set(checkpoint.state_dict)
    total = sum(found.tensor_bytes.values()) + found.overhead_bytes
    assert total == found.file_bytes
    assert 0 < found.overhead_bytes < 5000


def test_entropy_is_that_of_plain_rounding():
    gauss = torch.from_numpy(np.random.default_rng(0).normal(size=(400, 500)))
    found = expect(Checkpoint({"w": gauss.float(), "b": torch.ones(9)}))
    # Rate-distortion at 40 dB is 6.64 bits; uniform steps cost a quarter more.
    assert found.entropy_bits["w"] == pytest.approx(6.64 + 0.25, abs=0.02)
    assert set(found.entropy_bits) == {"w"}
    assert 6.64 < 8 * found.tensor_bytes["w"] / gauss.numel() < 6.89


def test_tied_and_constant_tensors_take_nothing():
    found = expect(Checkpoint(transformer() | {"same": torch.ones(300)}))
    assert found.tensor_bytes["head.weight"] == 0
    assert found.tensor_bytes["same"] == 0
    assert found.parameters == 500 * 64 + 70 * 64 + 256 * 64 + 64 + 3000 + 300


def test_integers_of_a_trained_network_are_coded_as_they_are():
    symbols = torch.from_numpy(
        np.random.default_rng(0).integers(-3, 4, (400, 9)).astype(np.int8)
    )
    decoder = torch.eye(9)
    weight = symbols.float().reshape(20, 20, 3, 3)
    checkpoint = Checkpoint(
        {"w": weight}, {"w": LatentEntry(symbols.int(), 0)}, (decoder,)
    )
    found = expect(checkpoint)
    assert found.lossless
    assert found.file_bytes == pytest.approx(len(lnx.dumps(pack(checkpoint))), rel=0.03)


def test_extreme_numbers_do_not_stop_it():
    tiny = laplace(0, 40, 50) * 1e-20
    huge = laplace(1, 40, 50)
    huge[0, 0] = 1e6
    state = {"tiny": tiny, "huge": huge, "w": laplace(2, 40, 50)}
    found = expect(Checkpoint(state))
    assert set(found.entropy_bits) == set(state)
    assert all(2 < bits < 12 for bits in found.entropy_bits.values())


def test_rows_are_spread_and_in_no_period():
    rows = expected._rows(800, 4)
    assert len(set(rows)) == 200
    assert np.diff(rows).max() < 8
    assert (rows % 2).mean() == pytest.approx(0.5, abs=0.02)
