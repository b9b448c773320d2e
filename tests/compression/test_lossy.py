"""What a container of quantized weights cannot be had for, and why."""

import numpy as np
import pytest

import lnx
from lilnetx_cli.compression.lossy import compress_container
from lilnetx_cli.compression.targets import Target

WEIGHTS = lnx.Exact(
    "a.weight", lnx.DType.F32, (8, 16), np.arange(128, dtype="<f4").view(np.uint8)
)


def test_a_file_that_cannot_be_is_not_said_to_be_too_fine():
    metadata = {"text": "x" * 5_000_000}
    with pytest.raises(lnx.ContentError, match="bytes"):
        compress_container(lnx.Container((WEIGHTS,), metadata=metadata), Target(snr=40))


def _weights(values: np.ndarray) -> lnx.Container:
    data = np.ascontiguousarray(values, "<f4").reshape(-1).view(np.uint8)
    return lnx.Container((lnx.Exact("w", lnx.DType.F32, values.shape, data),))


@pytest.mark.parametrize("scale", [1e-16, 1e-20, 1e-30])
def test_tiny_weights_are_quantized_like_others(scale):
    values = np.random.default_rng(0).normal(size=(64, 64))
    found = compress_container(_weights(scale * values), Target(snr=40))
    assert 40 <= found.snr < 40.1
    assert found.exact == ()


@pytest.mark.parametrize(("scale", "largest"), [(1e-3, 1e4), (1e-3, 1e9), (1e-36, 0)])
def test_weights_for_which_no_step_is_fine_enough_stay_exact(scale, largest):
    values = scale * np.random.default_rng(0).normal(size=(64, 64))
    values[0, 0] = largest or values[0, 0]
    container = _weights(values)
    found = compress_container(container, Target(snr=40))
    assert found.exact == ("w",)
    assert found.container["w"].data.tobytes() == container["w"].data.tobytes()


def test_empty_tensors_are_no_reason_for_a_warning(recwarn):
    empty = lnx.Exact("b.weight", lnx.DType.F32, (0, 4), np.zeros(0, np.uint8))
    found = compress_container(lnx.Container((WEIGHTS, empty)), Target(snr=30))
    assert found.snr >= 30
    assert not recwarn.list


@pytest.mark.parametrize("snr", [32, 36, 40, 44])
@pytest.mark.parametrize("seed", range(3))
def test_what_types_cost_is_made_up_for(snr, seed):
    """Weights are rounded to bfloat16 once more, which no search of a step sees."""
    values = np.random.default_rng(seed).laplace(size=(120, 100)).astype("<f4")
    short = (values.view("<u4") >> 16).astype("<u2").reshape(-1).view(np.uint8)
    other = np.ascontiguousarray(values[:50] * 0.02).reshape(-1).view(np.uint8)
    tensors = (
        lnx.Exact("a.weight", lnx.DType.BF16, (120, 100), short),
        lnx.Exact("b.weight", lnx.DType.F32, (50, 100), other),
    )
    found = compress_container(lnx.Container(tensors), Target(snr=snr))
    assert snr <= found.snr <= snr + 0.4
