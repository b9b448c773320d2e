"""Decoders of reflections: weights to the bit, and what files hold of them."""

import numpy as np
import pytest

import lnx
from lnx.errors import ContentError
from lnx.tensors.products import decode_rows
from lnx.tensors.reflections import make_reflections

FLOAT = np.float32


def one_by_one(symbols, step, vectors):
    """The definition: one product, sum or quotient at a time."""
    weights = np.zeros(symbols.shape, FLOAT)
    for place, row in enumerate(symbols):
        q = [FLOAT(x) for x in row]
        for vector in vectors:
            u = [FLOAT(x) for x in vector]
            d = q[0] * u[0]
            for one, other in zip(q[1:], u[1:], strict=True):
                d = d + one * other
            d = d * (FLOAT(2) / FLOAT(sum(int(x) ** 2 for x in vector)))
            q = [one - d * other for one, other in zip(q, u, strict=True)]
        weights[place] = [FLOAT(0) + one * step for one in q]
    return weights


def made(length, count, rows=40):
    rng = np.random.default_rng(length)
    vectors = rng.integers(-128, 128, (count, length)).astype(np.int8)
    symbols = rng.integers(-300, 301, (rows, length)).astype(np.int16)
    symbols[::7] = 0
    return symbols, vectors


@pytest.mark.parametrize(("length", "count"), [(3, 1), (16, 4), (100, 8)])
def test_weights_are_the_same_to_the_bit(length, count):
    symbols, vectors = made(length, count)
    step = FLOAT(-0.013)
    found = decode_rows(symbols, make_reflections(step, vectors))
    assert found.tobytes() == one_by_one(symbols, step, vectors).tobytes()
    assert not np.signbit(found[found == 0]).any()


def test_reflections_keep_lengths():
    symbols, vectors = made(64, 8)
    found = decode_rows(symbols, make_reflections(FLOAT(1), vectors))
    lengths = np.linalg.norm(symbols.astype(FLOAT), axis=1)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), lengths, rtol=1e-5)


def test_a_byte_a_number():
    symbols, vectors = made(512, 8)
    decoder = make_reflections(FLOAT(0.1), vectors)
    tensor = lnx.Latent("w", symbols.shape, symbols, 0, trellis=True)
    container = lnx.Container((tensor,), (decoder,))
    again = lnx.loads(lnx.dumps(container))
    assert again.decoders[0].tobytes() == decoder.tobytes()
    assert lnx.estimate(container).decoders <= 8 * 512 + 16
    weights = [next(iter(lnx.rebuild_all(c))).array for c in (container, again)]
    assert weights[0].tobytes() == weights[1].tobytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda decoder: decoder[:1],
        lambda decoder: decoder[:, :4],
        lambda decoder: np.concatenate([decoder] * 3),
        lambda decoder: decoder + FLOAT(0.5),
        lambda decoder: decoder * FLOAT(2),
        lambda decoder: decoder * np.array([[1], [0], [1], [1], [1]], FLOAT),
        lambda decoder: decoder + np.eye(5, 16, dtype=FLOAT),
    ],
)
def test_what_files_do_not_hold_is_refused(change):
    _, vectors = made(16, 4)
    decoder = change(make_reflections(FLOAT(1), vectors))
    with pytest.raises(ContentError, match="nor of reflections"):
        lnx.dumps(lnx.Container((), (decoder,)))
