from itertools import pairwise

from lilnetx_cli.training.steering import cosine


def test_rises_then_falls_to_zero():
    factors = [cosine(step, 100, 0.1) for step in range(100)]
    assert factors[0] == 0.1
    assert factors[9] == factors[10] == 1.0
    assert all(a <= b for a, b in pairwise(factors[:10]))
    assert all(a >= b for a, b in pairwise(factors[10:]))
    assert 0 < factors[-1] < 0.001


def test_short_runs():
    assert cosine(0, 1, 0.0) == 1.0
    assert all(0 <= cosine(step, 3, 0.9) <= 1 for step in range(4))
