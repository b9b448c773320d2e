"""Ctrl-C reaches the process that was started, and only when it can be met."""

import signal
import subprocess
import sys

import pytest

from lnx.coding.interrupts import interrupt_later
from lnx.coding.parallel import Coder
from tests.format.making import ENVIRONMENT


def blocked(batch):
    """Work of a coding process: tell whether Ctrl-C is blocked in it."""
    return [signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())] * len(batch)


IN_A_FRESH_PROCESS = """
from lnx.coding.parallel import Coder
from tests.format.test_interrupts import blocked
with Coder(2) as coder:
    print([found for _, found in coder._run(blocked, [(0, [1]), (1, [2])])])
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows")
def test_coding_processes_never_see_an_interrupt():
    """The first did: to start it, Python unblocked what had been blocked."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS],
        env=ENVIRONMENT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[[True], [True]]\n"


def test_what_starts_processes_is_left_as_it_was():
    before = signal.getsignal(signal.SIGINT)
    with Coder(2) as coder:
        assert len(list(coder.encode([(0, []), (1, [])]))) == 2
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_waits_for_the_end_of_a_block():
    done = []

    def block():
        with interrupt_later():
            signal.raise_signal(signal.SIGINT)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done
