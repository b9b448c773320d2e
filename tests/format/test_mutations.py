"""Mutations and killed writers, each in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
from mutate import mutated

FOLDER = Path(__file__).parent


def test_mutations_of_a_fresh_seed():
    """A hundred thousand were run by hand: python tests/format/mutate.py."""
    done = subprocess.run(
        [sys.executable, FOLDER / "mutate.py", "3000", "1"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_target_would_see_a_finding(monkeypatch):
    """A reader that fails in an undocumented way is a finding."""
    import fuzzing

    seed = fuzzing.seeds()[1]
    fuzzing.check(seed)
    monkeypatch.setattr(fuzzing.container, "loads", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fuzzing.check(seed)


def test_blind_reading_goes_past_hashes():
    import fuzzing

    seed = fuzzing.seeds()[1]
    changed = seed[:-1] + bytes([seed[-1] ^ 1])
    assert fuzzing.read(changed) == "CorruptError"
    with fuzzing.blind():
        assert not isinstance(fuzzing.read(changed), str)


def test_mutations_differ():
    import random

    rng = random.Random(0)
    assert len({mutated(b"some bytes to change", rng) for _ in range(50)}) > 30
