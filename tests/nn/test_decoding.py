import numpy as np
import pytest
import torch

from lilnetx_cli.nn.decoding import cosine_basis, decode_exact, decode_matmul
from lnx.tensors.products import decode_rows
from tests.nn.making import lively, numbers


@pytest.mark.parametrize("size", [1, 4, 9, 25])
def test_torch_and_numpy_agree_to_the_bit(size):
    rng = np.random.default_rng(size)
    symbols = rng.integers(-40, 40, (5000, size)).astype(np.int32)
    decoder = rng.normal(size=(size, size)).astype(np.float32)
    by_torch = decode_exact(torch.from_numpy(symbols), torch.from_numpy(decoder))
    assert by_torch.numpy().tobytes() == decode_rows(symbols, decoder).tobytes()


def test_negative_zero_is_zero():
    rows = torch.tensor([[-0.0, 0.0, 1.0]])
    decoder = -torch.ones(3, 3)
    integers = rows.numpy().astype(np.int32)
    expected = decode_rows(integers, decoder.numpy())
    assert decode_exact(rows, decoder).numpy().tobytes() == expected.tobytes()


def test_fast_and_exact_are_close():
    rows, decoder = numbers(100, 9).round(), numbers(9, 9, seed=1)
    exact = decode_exact(rows, decoder)
    assert lively(exact)
    assert torch.allclose(decode_matmul(rows, decoder), exact, atol=1e-5)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (5,), (2, 3, 4), ()])
def test_cosine_basis_is_orthonormal(kernel):
    basis = cosine_basis(kernel)
    size = int(np.prod(kernel)) if kernel else 1
    assert basis.shape == (size, size)
    assert torch.allclose(basis @ basis.T, torch.eye(size), atol=1e-6)
