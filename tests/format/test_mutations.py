"""Mutations and killed writers, each in a process of its own."""

import subprocess
import sys

import pytest

from tests.format import fuzzing
from tests.format.making import ENVIRONMENT
from tests.format.mutate import mutated


def test_mutations_of_a_fresh_seed():
    """A hundred thousand were run by hand: python -m tests.format.mutate."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.format.mutate", "3000", "1"], env=ENVIRONMENT,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_target_would_see_a_finding(monkeypatch):
    """A reader that fails in an undocumented way is a finding."""
    seed = fuzzing.seeds()[1]
    fuzzing.check(seed)
    monkeypatch.setattr(fuzzing.lnx, "loads", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fuzzing.check(seed)


def test_blind_reading_goes_past_hashes():
    seed = fuzzing.seeds()[1]
    changed = seed[:-1] + bytes([seed[-1] ^ 1])
    assert fuzzing.read(changed) == "CorruptError"
    with fuzzing.blind():
        assert not isinstance(fuzzing.read(changed), str)


def test_mutations_differ():
    import random

    rng = random.Random(0)
    assert len({mutated(b"some bytes to change", rng) for _ in range(50)}) > 30
